"""myFM: Bayesian factorization machines by Gibbs sampling, in C++; features as in its own MovieLens examples.

``mf``: user and item. ``svdpp``: and, of the user, the items rated in training (Bayesian SVD++). ``flipped``: and, of
the item, the users who rated it in training. Each entry of a history of n has the value 1/√n.
"""

from __future__ import annotations

import time

import numpy as np
from myfm import MyFMRegressor, RelationBlock
from numpy.typing import NDArray
from scipy import sparse

from benchmarks.peers.exchange import Answer, Task, answer

RANK, ITERATIONS = 10, 200

Codes = NDArray[np.int32]


def perform(task: Task, setting: str) -> Answer:
    with_items, with_users = {"mf": (False, False), "svdpp": (True, False), "flipped": (True, True)}[setting]
    of_user, user_groups = features(task.user, task.item, history=with_items)
    of_item, item_groups = features(task.item, task.user, history=with_users)
    # Whoever is unknown has the last row, which has no features.
    test_user, test_item = np.minimum(task.test_user, task.users), np.minimum(task.test_item, task.items)
    rating = task.rating.astype(np.float64)
    options = {"n_iter": ITERATIONS, "n_kept_samples": ITERATIONS, "group_shapes": user_groups + item_groups}
    model = MyFMRegressor(rank=RANK)
    if setting == "mf":
        training = sparse.hstack([of_user[task.user], of_item[task.item]], format="csr")
        began = time.perf_counter()
        model.fit(training, rating, **options)
        seconds = time.perf_counter() - began
        predicted = model.predict(sparse.hstack([of_user[test_user], of_item[test_item]], format="csr"))
    else:
        blocks = [RelationBlock(task.user, of_user), RelationBlock(task.item, of_item)]
        began = time.perf_counter()
        model.fit(None, rating, X_rel=blocks, **options)
        seconds = time.perf_counter() - began
        blocks = [RelationBlock(test_user, of_user), RelationBlock(test_item, of_item)]
        predicted = model.predict(None, blocks)
    return Answer(predicted=task.clipped(predicted), rating_seconds=seconds)


def features(codes: Codes, others: Codes, *, history: bool) -> tuple[sparse.csr_matrix, list[int]]:
    """Features of each member of one side, and how many there are in each group of them.

    Returns:
        float64 (members + 1, features): the member itself, and its history if asked for; the last row is empty.
    """
    members, width = int(codes.max()) + 1, int(others.max()) + 1
    groups = [sparse.identity(members, format="csr")]
    if history:
        share = 1 / np.sqrt(np.bincount(codes))
        groups.append(sparse.csr_matrix((share[codes], (codes, others)), (members, width)))
    table = sparse.hstack(groups, format="csr")
    table.resize(members + 1, table.shape[1])
    return table, [group.shape[1] for group in groups]


if __name__ == "__main__":
    answer(perform)
