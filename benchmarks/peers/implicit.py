"""implicit's AlternatingLeastSquares: every rating an observation, as its documentation has it for implicit data."""

from __future__ import annotations

import time

import numpy as np
from implicit.als import AlternatingLeastSquares
from implicit.nearest_neighbours import bm25_weight
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.peers.exchange import DEPTH, Answer, Task, answer


def perform(task: Task, setting: str) -> Answer:
    factors, regularization, alpha, weights = setting.split(",")
    shape = task.users, task.items
    values = {"rating": task.rating}.get(weights, np.ones_like(task.rating))
    observed = sparse.csr_matrix((values, (task.user, task.item)), shape)
    if weights == "bm25":
        observed = bm25_weight(observed.T, K1=100, B=0.8).T.tocsr().astype(np.float32)
    model = AlternatingLeastSquares(
        factors=int(factors), regularization=float(regularization), alpha=float(alpha), iterations=15, random_state=0
    )
    with threadpool_limits(1, "blas"):  # as the package asks for: it has threads of its own
        began = time.perf_counter()
        model.fit(observed, show_progress=False)
        seconds = time.perf_counter() - began
        top, _ = model.recommend(np.arange(task.users), observed, N=DEPTH)
    return Answer(seconds, top=top.astype(np.int32))


if __name__ == "__main__":
    answer(perform)
