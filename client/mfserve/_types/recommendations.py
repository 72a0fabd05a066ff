"""Recommendations, predicted ratings and similar items."""

from __future__ import annotations

import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from mfserve._types.enums import Head, RatingBasis, RecommendationBasis
from mfserve._types.models import ServedVersion

__all__ = [
    "RatingPrediction",
    "Recommendation",
    "RecommendationBatch",
    "Recommendations",
    "SimilarItem",
    "SimilarItems",
    "UserRecommendations",
]


@dataclass(frozen=True, slots=True)
class Recommendation:
    """One recommended item."""

    item_id: str
    score: float
    """What it was ranked by, higher is better; comparable within one answer only."""
    predicted_rating: float | None
    """The rating that the user would give, clipped to the scale; ``None`` where it was not asked for, and where the
    version has no rating head."""
    title: str | None
    """``None`` where the data have no titles."""


@dataclass(frozen=True, slots=True)
class Recommendations(Sequence[Recommendation]):
    """The best items for one user, best first."""

    items: tuple[Recommendation, ...]
    basis: RecommendationBasis
    ranking_head: Head | None
    """The head that ranked; ``None`` with basis POPULARITY."""
    served_version: ServedVersion
    recall: float | None = None
    """Where the version's approximate index was searched: the share of the exact best ten that it finds, on the average
    over users, as measured when the version was published. ``None``: the search was exact."""

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> Recommendation: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Recommendation, ...]: ...
    def __getitem__(self, index: int | slice) -> Recommendation | tuple[Recommendation, ...]:
        return self.items[index]

    def __iter__(self) -> Iterator[Recommendation]:
        return iter(self.items)


@dataclass(frozen=True, slots=True)
class RecommendationBatch(Sequence["UserRecommendations"]):
    """Recommendations for a batch of users, in columns: ``numpy.asarray`` of an array here copies nothing.

    The recommendations of user n are the entries from ``offsets[n]`` to ``offsets[n + 1]``, best first. As a
    sequence, one UserRecommendations per user.
    """

    user_ids: tuple[str, ...]
    item_ids: tuple[str, ...]
    """The distinct items of the batch."""
    titles: tuple[str, ...] | None
    """One per entry of ``item_ids``; ``None`` where the data have no titles."""
    item_indices: array.array[int]
    """uint32, one per recommendation: which of ``item_ids`` it is."""
    scores: array.array[float]
    """float32, one per recommendation."""
    predicted_ratings: array.array[float] | None
    """float32, one per recommendation; ``None`` where they were not asked for, and where the version has no rating
    head."""
    offsets: array.array[int]
    """int64, one more than users: where each user's recommendations begin, and the end."""
    bases: tuple[RecommendationBasis, ...]
    """One per user."""
    ranking_head: Head | None
    """The head that ranks users whom the version knows."""
    served_version: ServedVersion
    recall: float | None = None
    """As ``Recommendations.recall``, of the users whom the version knows."""

    def __len__(self) -> int:
        return len(self.user_ids)

    @overload
    def __getitem__(self, index: int) -> UserRecommendations: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[UserRecommendations, ...]: ...
    def __getitem__(self, index: int | slice) -> UserRecommendations | tuple[UserRecommendations, ...]:
        if isinstance(index, slice):
            return tuple(UserRecommendations(self, row) for row in range(len(self))[index])
        return UserRecommendations(self, range(len(self))[index])

    def __iter__(self) -> Iterator[UserRecommendations]:
        return (UserRecommendations(self, row) for row in range(len(self)))


class UserRecommendations(Sequence[Recommendation]):
    """One user's row of a batch, best first; a Recommendation is made only when it is looked at."""

    __slots__ = ("_batch", "_end", "_row", "_start")

    def __init__(self, batch: RecommendationBatch, row: int) -> None:
        self._batch = batch
        self._row = row
        self._start = batch.offsets[row]
        self._end = batch.offsets[row + 1]

    @property
    def user_id(self) -> str:
        """The user."""
        return self._batch.user_ids[self._row]

    @property
    def basis(self) -> RecommendationBasis:
        """What the recommendations rest on."""
        return self._batch.bases[self._row]

    @property
    def ranking_head(self) -> Head | None:
        """The head that ranked; ``None`` with basis POPULARITY."""
        return None if self.basis is RecommendationBasis.POPULARITY else self._batch.ranking_head

    @property
    def served_version(self) -> ServedVersion:
        """The version that the whole stream is pinned to."""
        return self._batch.served_version

    @property
    def recall(self) -> float | None:
        """As ``Recommendations.recall``."""
        return None if self.basis is RecommendationBasis.POPULARITY else self._batch.recall

    def __len__(self) -> int:
        return self._end - self._start

    @overload
    def __getitem__(self, index: int) -> Recommendation: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Recommendation, ...]: ...
    def __getitem__(self, index: int | slice) -> Recommendation | tuple[Recommendation, ...]:
        if isinstance(index, slice):
            return tuple(self._at(position) for position in range(self._start, self._end)[index])
        return self._at(range(self._start, self._end)[index])

    def __iter__(self) -> Iterator[Recommendation]:
        return (self._at(position) for position in range(self._start, self._end))

    def _at(self, position: int) -> Recommendation:
        batch = self._batch
        item = batch.item_indices[position]
        return Recommendation(
            item_id=batch.item_ids[item],
            score=batch.scores[position],
            predicted_rating=batch.predicted_ratings[position]
            if batch.predicted_ratings is not None
            else None,
            title=(batch.titles[item] or None) if batch.titles is not None else None,
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, UserRecommendations):
            return NotImplemented
        return (
            self.user_id == other.user_id
            and self.basis == other.basis
            and self.served_version == other.served_version
            and tuple(self) == tuple(other)
        )

    def __repr__(self) -> str:
        return f"UserRecommendations(user_id={self.user_id!r}, basis={self.basis!r}, items={tuple(self)!r})"


@dataclass(frozen=True, slots=True)
class RatingPrediction:
    """A predicted rating."""

    rating: float
    """Clipped to the data's scale."""
    basis: RatingBasis
    served_version: ServedVersion
    stddev: float | None = None
    """Standard deviation of the user's rating around the prediction; ``None`` where the engine does not tell it, or
    with another basis than MODEL."""


@dataclass(frozen=True, slots=True)
class SimilarItem:
    """One item like the item asked about."""

    item_id: str
    similarity: float
    """Cosine of the angle between the two items' embeddings, -1 to 1."""
    title: str | None


@dataclass(frozen=True, slots=True)
class SimilarItems(Sequence[SimilarItem]):
    """The items most like one item, the most similar first, without the item itself."""

    items: tuple[SimilarItem, ...]
    item_id: str
    """The item asked about."""
    title: str | None
    """Its title."""
    served_version: ServedVersion

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> SimilarItem: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[SimilarItem, ...]: ...
    def __getitem__(self, index: int | slice) -> SimilarItem | tuple[SimilarItem, ...]:
        return self.items[index]

    def __iter__(self) -> Iterator[SimilarItem]:
        return iter(self.items)
