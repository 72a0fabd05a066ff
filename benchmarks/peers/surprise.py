"""Surprise's matrix factorizations, by stochastic gradient descent.

``svd`` and ``svdpp`` (Koren 2008) with their defaults; ``svd-tuned``: k = 20, 100 epochs, regularization 0.1.
"""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from surprise import SVD, Dataset, Reader, SVDpp

from benchmarks.peers.exchange import Answer, Task, answer

MODELS = {
    "svd": lambda: SVD(random_state=0),
    "svdpp": lambda: SVDpp(random_state=0),
    "svd-tuned": lambda: SVD(n_factors=20, n_epochs=100, reg_all=0.1, random_state=0),
}


def perform(task: Task, setting: str) -> Answer:
    rows = pd.DataFrame({"user": task.user, "item": task.item, "rating": task.rating})
    reader = Reader(rating_scale=(task.lowest, task.highest))
    training = Dataset.load_from_df(rows, reader).build_full_trainset()
    model = MODELS[setting]()
    began = time.perf_counter()
    model.fit(training)
    seconds = time.perf_counter() - began
    predicted = np.array(
        [model.predict(user, item).est for user, item in zip(task.test_user, task.test_item, strict=True)]
    )
    return Answer(predicted=task.clipped(predicted), rating_seconds=seconds)


if __name__ == "__main__":
    answer(perform)
