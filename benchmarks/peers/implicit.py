"""implicit's AlternatingLeastSquares (Hu, Koren, Volinsky 2008).

The setting is factors, regularization, alpha and what a rating counts: ``binary``, 1; ``rating``, itself, so that a
high rating is a confident observation.
"""

from __future__ import annotations

import time

import numpy as np
from implicit.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from benchmarks.peers.exchange import DEPTH, NOBODY, Answer, Task, answer


def perform(task: Task, setting: str) -> Answer:
    factors, regularization, alpha, counts = setting.split(",")
    values = task.rating if counts == "rating" else np.ones_like(task.rating)
    observed = sparse.csr_matrix((values, (task.user, task.item)), (task.users, task.items))
    model = AlternatingLeastSquares(
        factors=int(factors), regularization=float(regularization), alpha=float(alpha), random_state=0
    )
    with threadpool_limits(1, "blas"):  # as the package asks for: it has threads of its own
        began = time.perf_counter()
        model.fit(observed, show_progress=False)
        seconds = time.perf_counter() - began
        top, scores = model.recommend(np.arange(task.users), observed, N=DEPTH)
    # Where a user has fewer unseen items, seen ones follow, with the lowest number that float32 has.
    return Answer(top=np.where(scores > np.finfo(np.float32).min, top, NOBODY), ranking_seconds=seconds)


if __name__ == "__main__":
    answer(perform)
