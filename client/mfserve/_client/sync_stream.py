"""Recommendations for many users, as they arrive."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from types import TracebackType
from typing import Self

from mfserve._client.bulk import Bulk
from mfserve._types.models import ServedVersion
from mfserve._types.recommendations import RecommendationBatch, UserRecommendations


class RecommendationStream(Iterator[UserRecommendations]):
    """One UserRecommendations per user, in the order of the users; or the columns, batch by batch, of ``batches``.

    It can be read once. Whoever stops early should close it, or use it as a context manager: that ends the call.
    """

    def __init__(self, bulk: Bulk, batches: Generator[RecommendationBatch]) -> None:
        self._bulk = bulk
        self._batches = batches
        self._rows = (row for batch in batches for row in batch)

    @property
    def served_version(self) -> ServedVersion | None:
        """The version to which the whole stream is pinned; None before the first answer."""
        return self._bulk.served_version

    def __next__(self) -> UserRecommendations:
        return next(self._rows)

    def batches(self) -> Iterator[RecommendationBatch]:
        """The batches that have not been read yet, for those who work on columns."""
        return self._batches

    def close(self) -> None:
        """Ends the call."""
        self._rows.close()
        self._batches.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
