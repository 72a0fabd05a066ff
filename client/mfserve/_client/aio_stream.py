"""Recommendations for many users, as they arrive."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import Self

from mfserve._client.bulk import Bulk
from mfserve._types.models import ServedVersion
from mfserve._types.recommendations import RecommendationBatch, UserRecommendations


class AsyncRecommendationStream(AsyncIterator[UserRecommendations]):
    """One UserRecommendations per user, in the order of the users; or the columns, batch by batch, of ``batches``.

    It can be read once. Whoever stops early should close it, or use it as a context manager: that ends the call.
    """

    def __init__(self, bulk: Bulk, batches: AsyncGenerator[RecommendationBatch]) -> None:
        self._bulk = bulk
        self._batches = batches
        self._rows = _rows(batches)

    @property
    def served_version(self) -> ServedVersion | None:
        """The version to which the whole stream is pinned; None before the first answer."""
        return self._bulk.served_version

    async def __anext__(self) -> UserRecommendations:
        return await anext(self._rows)

    def batches(self) -> AsyncIterator[RecommendationBatch]:
        """The batches that have not been read yet, for those who work on columns."""
        return self._batches

    async def close(self) -> None:
        """Ends the call."""
        await self._rows.aclose()
        await self._batches.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()


async def _rows(batches: AsyncGenerator[RecommendationBatch]) -> AsyncGenerator[UserRecommendations]:
    async for batch in batches:
        for row in batch:
            yield row
