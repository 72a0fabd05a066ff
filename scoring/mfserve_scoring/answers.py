"""What the scoring answers with: columns of numbers, items by index."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfserve_scoring.exact import Floats, Indices


class Head(IntEnum):
    """Which head ranks. DEFAULT is the ranking head where the snapshot has one, else the rating head."""

    DEFAULT = 0
    RANKING = 1
    RATING = 2


class Basis(IntEnum):
    """What a recommendation rests on."""

    MODEL = 1
    """The user's own trained factors."""
    FOLD_IN = 2
    """Factors solved on request from a history of ratings."""
    POPULARITY = 3
    """Number of ratings: the model knows nothing of the user."""


class RatingBasis(IntEnum):
    """What a predicted rating rests on."""

    MODEL = 1
    """User and item are both known."""
    USER_MEAN = 2
    """The item is unknown: the user's damped mean."""
    ITEM_MEAN = 3
    """The user is unknown: the item's damped mean."""
    GLOBAL_MEAN = 4
    """Both are unknown: the mean of all training ratings."""


class Recommendations(NamedTuple):
    """The answer for one user. A tuple, because making a frozen dataclass takes four times as long.

    Attributes:
        item_indices: int32 (n,), best first; ties in ascending order of the index. ``snapshot.items`` has the ids.
        scores: float32 (n,), what the items are ranked by: p·q of the ranking head, the unclipped predicted
            rating of the rating head, or the item's number of ratings with basis POPULARITY.
        predicted_ratings: float32 (n,), clipped to the scale; with basis POPULARITY the item's damped mean. None where
            the snapshot has no rating head.
        basis: what the answer rests on.
        head: the head asked for, DEFAULT resolved.
        recall: that of the approximate index which was searched; None: the search was exact.
    """

    item_indices: Indices
    scores: Floats
    predicted_ratings: Floats | None
    basis: Basis
    head: Head
    recall: float | None = None


@dataclass(frozen=True, slots=True)
class RecommendationBatch:
    """The answers for several users, end to end; each user's part is bit for bit what ``recommend`` gives.

    Attributes:
        item_indices: int32 (total,).
        scores: float32 (total,).
        predicted_ratings: float32 (total,), or None where not asked for or the snapshot has no rating head.
        counts: int32 (users,), the length of each user's part.
        bases: uint8 (users,), values of Basis.
        head: the head asked for, DEFAULT resolved.
    """

    item_indices: Indices
    scores: Floats
    predicted_ratings: Floats | None
    counts: Indices
    bases: NDArray[np.uint8]
    head: Head


def interleave(
    first: RecommendationBatch, second: RecommendationBatch, is_first: NDArray[np.bool_]
) -> RecommendationBatch:
    """One batch of two: user number n is the next one of ``first`` where ``is_first[n]``, else of ``second``."""
    users = np.concatenate((np.flatnonzero(is_first), np.flatnonzero(~is_first)))
    counts = np.concatenate((first.counts, second.counts))
    order = np.argsort(np.repeat(users, counts), kind="stable")
    by_user = np.argsort(users)
    predicted = None
    if first.predicted_ratings is not None and second.predicted_ratings is not None:
        predicted = np.concatenate((first.predicted_ratings, second.predicted_ratings))[order]
    return RecommendationBatch(
        item_indices=np.concatenate((first.item_indices, second.item_indices))[order],
        scores=np.concatenate((first.scores, second.scores))[order],
        predicted_ratings=predicted,
        counts=counts[by_user],
        bases=np.concatenate((first.bases, second.bases))[by_user],
        head=first.head,
    )


@dataclass(frozen=True, slots=True)
class Prediction:
    """A predicted rating, clipped to the scale, and what it rests on.

    Attributes:
        rating: a float32 number.
        basis: what it rests on.
        deviation: standard deviation of the user's rating around it, a float32 number over 0; None where the engine
            does not tell, or with another basis than MODEL.
    """

    rating: float
    basis: RatingBasis
    deviation: float | None


@dataclass(frozen=True, slots=True)
class RatingPredictions:
    """Predicted ratings of several pairs.

    Attributes:
        ratings: float32 (pairs,), clipped to the scale.
        bases: uint8 (pairs,), values of RatingBasis.
        deviations: float32 (pairs,), standard deviation of each rating around its prediction, 0 with another basis than
            MODEL; None where the engine does not tell.
    """

    ratings: Floats
    bases: NDArray[np.uint8]
    deviations: Floats | None


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """The nearest items.

    Attributes:
        item_indices: int32 (n,), nearest first; ties in ascending order of the index.
        similarities: float32 (n,), cosine, from -1 to 1; 0 where one of the two has a zero vector.
    """

    item_indices: Indices
    similarities: Floats
