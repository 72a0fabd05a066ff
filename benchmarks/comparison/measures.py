"""How good an answer is: the same measures, computed by the same code, for everybody."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.comparison.splits import Split
from benchmarks.peers.exchange import DEPTH, NOBODY, Answer
from mfserve_registry.snapshot.content import RatedItems
from mfserve_scoring import metrics

RELEVANT_FROM = 4.0
"""A test item is relevant from this rating on, on a scale that ends at 5."""

Figures = dict[str, float]


def rating_figures(answer: Answer, split: Split) -> Figures:
    """Errors over all test rows, those of unknown users and items included; none if nothing is predicted.

    Where predictions carry a standard deviation, also the share of true ratings within one and within two of it: over
    the rows that have one.
    """
    if answer.predicted is None or answer.rating_seconds is None:
        return {}
    figures = {
        "mse": metrics.mse(answer.predicted, split.truth),
        "rmse": metrics.rmse(answer.predicted, split.truth),
        "mae": metrics.mae(answer.predicted, split.truth),
        "seconds": answer.rating_seconds,
    }
    if answer.deviation is not None:
        away = np.abs(answer.predicted - split.truth) / answer.deviation
        away = away[~np.isnan(away)]
        figures |= {f"within_{n}": float(np.mean(away <= n)) for n in (1, 2)}
    return figures


def ranking_figures(answer: Answer, split: Split) -> Figures:
    """Means over the training users who have a relevant test item, and coverage; none if nothing is ranked.

    A relevant item that no training row has cannot be recommended: it is missed.
    """
    if answer.top is None or answer.ranking_seconds is None:
        return {}
    rankings, relevant = _rankings(answer.top, split), _relevant(split)
    return {
        "ndcg_at_10": metrics.ndcg(rankings, relevant, 10),
        "recall_at_20": metrics.recall(rankings, relevant, DEPTH),
        "coverage_at_10": metrics.coverage(rankings, split.task.items, 10),
        "seconds": answer.ranking_seconds,
    }


def _rankings(top: NDArray[np.int32], split: Split) -> RatedItems:
    task = split.task
    filled = top != NOBODY
    rows = RatedItems(_indptr(np.count_nonzero(filled, axis=1)), top[filled])
    users = np.repeat(np.arange(task.users), np.diff(rows.indptr))
    if (
        top.shape != (task.users, DEPTH)
        or rows.indices.min(initial=0) < 0
        or rows.indices.max() >= task.items
    ):
        raise ValueError("the rankings are not those of the training rows' users and items")
    if np.isin(_pairs(users, rows.indices, task.items), _pairs(task.user, task.item, task.items)).any():
        raise ValueError("an item that was rated in training is recommended")
    return rows


def _relevant(split: Split) -> RatedItems:
    # Whoever is not among the training users is ranked by nobody's model.
    task = split.task
    counted = (split.truth >= RELEVANT_FROM) & (task.test_user < task.users)
    users, items = task.test_user[counted], task.test_item[counted]
    order = np.lexsort((items, users))
    return RatedItems(_indptr(np.bincount(users, minlength=task.users)), items[order])


def _pairs(users: NDArray[np.integer[Any]], items: NDArray[np.integer[Any]], width: int) -> NDArray[np.int64]:
    return users.astype(np.int64) * width + items


def _indptr(counts: NDArray[np.intp]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
