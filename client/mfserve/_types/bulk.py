"""Recommendations for many users, in columns and in rows."""

from __future__ import annotations

import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import repeat
from typing import TYPE_CHECKING, Any, overload

from mfserve._types import tables
from mfserve._types.enums import Head, RecommendationBasis
from mfserve._types.models import ServedVersion
from mfserve._types.recommendations import Recommendation
from mfserve._types.tables import RecommendationArrays

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

__all__ = ["RecommendationArrays", "RecommendationBatch", "UserRecommendations"]

_new: Any = object.__new__
_set_item_id, _set_score, _set_predicted_rating, _set_title = (
    getattr(Recommendation, field.name).__set__ for field in fields(Recommendation)
)


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
    """The recall of the index that is asked for the users whom the version knows; whoever it finds too few items for is
    answered exactly."""

    def __len__(self) -> int:
        return len(self.user_ids)

    @overload
    def __getitem__(self, index: int) -> UserRecommendations: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[UserRecommendations, ...]: ...
    def __getitem__(self, index: int | slice) -> UserRecommendations | tuple[UserRecommendations, ...]:
        if isinstance(index, slice):
            return tuple(self._row(row) for row in range(len(self))[index])
        return self._row(range(len(self))[index])

    def __iter__(self) -> Iterator[UserRecommendations]:
        return map(UserRecommendations, repeat(self), range(len(self)), self.offsets, self.offsets[1:])

    def to_numpy(self) -> RecommendationArrays:
        """The numbers as NumPy arrays, without copying any. ImportError where NumPy is missing."""
        return tables.arrays(self)

    def to_arrow(self) -> pa.Table:
        """An Arrow table, one row per recommendation, best first: as ``to_arrow`` of the stream.

        ImportError where pyarrow is missing.
        """
        return tables.arrow_table([self])

    def to_pandas(self) -> pd.DataFrame:
        """A DataFrame, one row per recommendation, best first: as ``to_pandas`` of the stream.

        ImportError where pandas is missing.
        """
        return tables.data_frame([self])

    def _row(self, row: int) -> UserRecommendations:
        return UserRecommendations(self, row, self.offsets[row], self.offsets[row + 1])


class UserRecommendations(Sequence[Recommendation]):
    """One user's row of a batch, best first; a Recommendation is made only when it is looked at."""

    __slots__ = ("_batch", "_end", "_row", "_start")

    def __init__(self, batch: RecommendationBatch, row: int, start: int, end: int) -> None:
        self._batch = batch
        self._row = row
        self._start = start
        self._end = end

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
        """As ``RecommendationBatch.recall``; ``None`` with basis POPULARITY."""
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
        return iter(self._made(slice(self._start, self._end)))

    def _made(self, part: slice) -> list[Recommendation]:
        """Several at once, in half the time that ``_at`` takes for each."""
        batch = self._batch
        item_ids, titles = batch.item_ids, batch.titles
        rated = batch.predicted_ratings
        made = []
        for item, score, rating in zip(
            batch.item_indices[part],
            batch.scores[part],
            repeat(None) if rated is None else rated[part],
            strict=False,
        ):
            # What the frozen class's own __init__ does, through one more function a field.
            one = _new(Recommendation)
            _set_item_id(one, item_ids[item])
            _set_score(one, score)
            _set_predicted_rating(one, rating)
            _set_title(one, None if titles is None else titles[item] or None)
            made.append(one)
        return made

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
