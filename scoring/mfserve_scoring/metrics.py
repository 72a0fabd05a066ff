"""Error of predicted ratings, and quality of rankings, as pure functions of arrays.

Rankings and relevant items come as compressed sparse rows: user u's ranking is
``indices[indptr[u]:indptr[u + 1]]``, best first. An average is over the users who have a relevant item; with none it
is NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import RatedItems


def mse(predicted: NDArray[Any], actual: NDArray[Any]) -> float:
    """Mean squared error, mean of (r̂ − r)², over aligned arrays (n,), n at least 1; in float64."""
    return float(np.mean(np.square(_errors(predicted, actual))))


def rmse(predicted: NDArray[Any], actual: NDArray[Any]) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(mse(predicted, actual)))


def mae(predicted: NDArray[Any], actual: NDArray[Any]) -> float:
    """Mean absolute error, mean of |r̂ − r|."""
    return float(np.mean(np.abs(_errors(predicted, actual))))


def ndcg(rankings: RatedItems, relevant: RatedItems, n: int) -> float:
    """nDCG@n with binary gains: Σ_{hits at rank r ≤ n} 1 / log₂(r + 1), over its greatest possible value.

    Järvelin and Kekäläinen 2002, "Cumulated gain-based evaluation of IR techniques". The greatest value is that of
    min(n, relevant items) hits at the top.

    Args:
        rankings: each user's items, best first; what lies beyond rank n does not count.
        relevant: each user's relevant items, ascending.
        n: at least 1.
    """
    discounts = 1 / np.log2(np.arange(2, n + 2))
    ideal = np.concatenate(([0.0], np.cumsum(discounts)))
    user, rank = _hits(rankings, relevant, n)
    gained = np.bincount(user, weights=discounts[rank], minlength=len(rankings.indptr) - 1)
    return _mean_over_relevant(gained, ideal[np.minimum(_lengths(relevant), n)])


def recall(rankings: RatedItems, relevant: RatedItems, n: int) -> float:
    """Recall@n: hits among the first n, over min(n, relevant items), so that 1 can be reached.

    Liang et al. 2018, "Variational Autoencoders for Collaborative Filtering", section 4.2. Arguments as for ``ndcg``.
    """
    user, _ = _hits(rankings, relevant, n)
    hits = np.bincount(user, minlength=len(rankings.indptr) - 1).astype(np.float64)
    return _mean_over_relevant(hits, np.minimum(_lengths(relevant), n).astype(np.float64))


def coverage(rankings: RatedItems, items: int, n: int) -> float:
    """Share of the ``items`` items that stand among the first n of at least one ranking."""
    _, rank = _positions(rankings)
    return len(np.unique(rankings.indices[rank < n])) / items


def _errors(predicted: NDArray[Any], actual: NDArray[Any]) -> NDArray[np.float64]:
    if predicted.shape != actual.shape or predicted.ndim != 1 or len(predicted) == 0:
        raise ValueError(f"needs two arrays of one length above 0, not {predicted.shape} and {actual.shape}")
    return predicted.astype(np.float64) - actual.astype(np.float64)


def _lengths(rows: RatedItems) -> NDArray[np.int64]:
    return np.diff(rows.indptr)


def _positions(rankings: RatedItems) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """User and rank (from 0) of each entry."""
    user = np.repeat(np.arange(len(rankings.indptr) - 1), _lengths(rankings))
    return user, np.arange(len(user)) - rankings.indptr[user]


def _hits(rankings: RatedItems, relevant: RatedItems, n: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """User and rank (from 0) of every relevant item among the first n."""
    if len(rankings.indptr) != len(relevant.indptr):
        raise ValueError("rankings and relevant items must be of the same users")
    user, rank = _positions(rankings)
    # One number per pair (user, item), by which pairs can be looked up at once.
    width = 1 + max(rankings.indices.max(initial=0), relevant.indices.max(initial=0))
    wanted = _positions(relevant)[0] * width + relevant.indices
    hit = (rank < n) & np.isin(user * width + rankings.indices, wanted)
    return user[hit], rank[hit]


def _mean_over_relevant(gained: NDArray[Any], possible: NDArray[Any]) -> float:
    having = possible > 0
    return float(np.mean(gained[having] / possible[having])) if having.any() else float("nan")
