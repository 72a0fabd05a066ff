"""EASE (Steck 2019, "Embarrassingly shallow autoencoders for sparse data") as Cornac has it.

The setting is λ and what a rating counts: ``binary``, 1; ``graded``, what mfserve's ranking engine makes of it.
"""

from __future__ import annotations

import time

import numpy as np
from cornac.data import Dataset
from cornac.models import EASE

from benchmarks.peers.exchange import DEPTH, NOBODY, Answer, Task, answer

GRADES = (0.1, 0.25, 0.5, 0.8, 1.0)
"""At equally spaced points of the rating scale."""


def perform(task: Task, setting: str) -> Answer:
    regularization, weights = setting.split(",")
    value = np.ones(len(task.rating))
    if weights == "graded":
        value = np.interp(task.rating, np.linspace(task.lowest, task.highest, len(GRADES)), GRADES)
    dataset = Dataset.build(zip(task.user.tolist(), task.item.tolist(), value.tolist(), strict=True))
    model = EASE(lamb=float(regularization), posB=False, verbose=False)
    began = time.perf_counter()
    model.fit(dataset)
    seconds = time.perf_counter() - began
    return Answer(top=rank(model, dataset, task), ranking_seconds=seconds)


def rank(model: EASE, dataset: Dataset, task: Task) -> np.ndarray:
    """The best items of each user, those seen left out; the dataset numbers users and items in its own order."""
    item_ids = np.array(dataset.item_ids)
    seen = dataset.matrix.tocsr()
    top = np.full((task.users, DEPTH), NOBODY, np.int32)
    for user in range(task.users):
        number = dataset.uid_map[user]
        scores = np.asarray(model.score(number)).ravel()
        scores[seen.indices[seen.indptr[number] : seen.indptr[number + 1]]] = -np.inf
        best = np.argsort(-scores, kind="stable")[:DEPTH]
        best = best[scores[best] > -np.inf]
        top[user, : len(best)] = item_ids[best]
    return top


if __name__ == "__main__":
    answer(perform)
