"""Answers by brute force, computed from a snapshot's content and nothing of the scoring package."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau

from mfserve_registry.snapshot import SnapshotContent
from tests.registry.snapshot.samples import rating_of


def ranking_scores(content: SnapshotContent, user: int) -> NDArray[np.float64]:
    assert content.ranking is not None
    user_factors = content.ranking.user_factors[user].astype(np.float64)
    return np.asarray(content.ranking.item_factors.astype(np.float64) @ user_factors)


def rating_scores(content: SnapshotContent, user: int) -> NDArray[np.float64]:
    """Unclipped predicted ratings of all items."""
    head = rating_of(content)
    products = head.item_factors.astype(np.float64) @ head.user_factors[user].astype(np.float64)
    return np.asarray(
        products + head.intercept + float(head.user_biases[user]) + head.item_biases.astype(np.float64)
    )


def clipped(content: SnapshotContent, ratings: NDArray[np.float64]) -> NDArray[np.float64]:
    assert content.scale is not None
    return np.clip(ratings, content.scale.minimum, content.scale.maximum)


def best(content: SnapshotContent, scores: NDArray[np.float64], limit: int, left_out: set[int]) -> list[str]:
    """Ids of the best items; ties by index."""
    order = sorted(
        (item for item in range(len(scores)) if item not in left_out), key=lambda i: (-scores[i], i)
    )
    return [content.item_ids[item] for item in order[:limit]]


def seen(content: SnapshotContent, user: int) -> set[int]:
    return set(content.rated.of(user).tolist())


def likeness(
    contents: Sequence[SnapshotContent], user: int, limit: int
) -> tuple[float, float | None, float | None]:
    """Overlap, rank correlation and score shift of what both recommend to a user of the same number in both."""
    lists, scores = [], []
    for content in contents:
        every = ranking_scores(content, user)
        lists.append(best(content, every, limit, seen(content, user)))
        scores.append(dict(zip(content.item_ids, every, strict=True)))
    both = sorted(set(lists[0]) & set(lists[1]))
    ours, theirs = ([score[item] for item in both] for score in scores)
    correlation = float(kendalltau(ours, theirs).statistic) if len(both) > 1 else None
    shift = float(np.subtract(theirs, ours).mean()) if both else None
    return len(both) / limit, correlation, shift
