"""What needs no model: the mean rating, and what most people rated."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.peers.exchange import DEPTH, NOBODY, Answer, Task, answer


def perform(task: Task, setting: str) -> Answer:
    del setting  # there is one
    began = time.perf_counter()
    mean = np.mean(task.rating, dtype=np.float64)
    mean_taken = time.perf_counter()
    popular = np.argsort(-np.bincount(task.item), kind="stable")
    ranked = time.perf_counter()
    return Answer(
        predicted=task.clipped(np.full(len(task.test_user), mean)),
        rating_seconds=mean_taken - began,
        top=unseen(popular, task),
        ranking_seconds=ranked - mean_taken,
    )


def unseen(ranking: np.ndarray, task: Task) -> np.ndarray:
    """int32 (users, ``DEPTH``): one ranking for everybody, without what each user rated in training."""
    top = np.full((task.users, DEPTH), NOBODY, np.int32)
    seen: list[set[int]] = [set() for _ in range(task.users)]
    for user, item in zip(task.user.tolist(), task.item.tolist(), strict=True):
        seen[user].add(item)
    for user, items in enumerate(seen):
        best = [item for item in ranking[: DEPTH + len(items)].tolist() if item not in items][:DEPTH]
        top[user, : len(best)] = best
    return top


if __name__ == "__main__":
    answer(perform)
