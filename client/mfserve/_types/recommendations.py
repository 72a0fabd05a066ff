"""Recommendations, predicted ratings and similar items."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

from mfserve._types.enums import Head, RatingBasis, RecommendationBasis
from mfserve._types.models import ServedVersion

__all__ = [
    "RatingPrediction",
    "Recommendation",
    "Recommendations",
    "SimilarItem",
    "SimilarItems",
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
    """Where the version's approximate index found the items: the share of the exact best ten that it finds, on the
    average over users, as measured when the version was published. ``None``: the search was exact."""

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
