"""Recommendations for many users, as they arrive."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mfserve._client.bulk import Bulk
from mfserve._client.job import documented_as
from mfserve._client.sync_stream import USED_UP, RecommendationStream
from mfserve._types import tables
from mfserve._types.bulk import RecommendationBatch, UserRecommendations
from mfserve._types.models import ServedVersion

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class AsyncRecommendationStream(AsyncIterator[UserRecommendations]):
    """One UserRecommendations per user, in the order of the users; or columns: ``batches``, ``to_arrow`` and so on.

    It can be read once; then, and after it was closed, reading it again is a RuntimeError. Whoever stops early should
    close it, or use it as a context manager: that ends the call.
    """

    def __init__(self, bulk: Bulk, batches: AsyncGenerator[RecommendationBatch]) -> None:
        self._bulk = bulk
        self._batches = batches
        self._rows = _rows(batches)
        self._closed = False

    @property
    def served_version(self) -> ServedVersion | None:
        """The version to which the whole stream is pinned; None before the first answer."""
        return self._bulk.served_version

    def __aiter__(self) -> Self:
        self._unread()
        return self

    async def __anext__(self) -> UserRecommendations:
        if self._closed:  # whoever is in the middle of reading must not take this for the end
            raise RuntimeError(USED_UP)
        return await anext(self._rows)

    def batches(self) -> AsyncIterator[RecommendationBatch]:
        """The batches that have not been read yet, for those who work on columns."""
        return self._unread()

    @documented_as(RecommendationStream.to_arrow)
    async def to_arrow(self) -> pa.Table:
        return tables.arrow_table([batch async for batch in self._unread()])

    @documented_as(RecommendationStream.to_pandas)
    async def to_pandas(self) -> pd.DataFrame:
        return tables.data_frame([batch async for batch in self._unread()])

    async def close(self) -> None:
        """Ends the call."""
        self._closed = True
        await self._rows.aclose()
        await self._batches.aclose()

    def _unread(self) -> AsyncIterator[RecommendationBatch]:
        if self._closed or self._bulk.ended:
            raise RuntimeError(USED_UP)
        return self._reading()

    async def _reading(self) -> AsyncIterator[RecommendationBatch]:
        async for batch in self._batches:
            yield batch
        if self._closed:
            raise RuntimeError(USED_UP)

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
