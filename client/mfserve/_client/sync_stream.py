"""Recommendations for many users, as they arrive."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mfserve._client.bulk import Bulk
from mfserve._types import tables
from mfserve._types.bulk import RecommendationBatch, UserRecommendations
from mfserve._types.models import ServedVersion

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


USED_UP = "this stream was read to its end, failed or was closed: call stream_recommend again"


class RecommendationStream(Iterator[UserRecommendations]):
    """One UserRecommendations per user, in the order of the users; or columns: ``batches``, ``to_arrow`` and so on.

    It can be read once; then, and after it was closed, reading it again is a RuntimeError. Whoever stops early should
    close it, or use it as a context manager: that ends the call.
    """

    def __init__(self, bulk: Bulk, batches: Generator[RecommendationBatch]) -> None:
        self._bulk = bulk
        self._batches = batches
        self._rows: Iterator[UserRecommendations] = chain.from_iterable(batches)
        self._closed = False

    @property
    def served_version(self) -> ServedVersion | None:
        """The version to which the whole stream is pinned; None before the first answer."""
        return self._bulk.served_version

    def __iter__(self) -> Self:
        self._unread()
        return self

    def __next__(self) -> UserRecommendations:
        if self._closed:  # whoever is in the middle of reading must not take this for the end
            raise RuntimeError(USED_UP)
        return next(self._rows)

    def batches(self) -> Iterator[RecommendationBatch]:
        """The batches that have not been read yet, for those who work on columns."""
        return self._unread()

    def to_arrow(self) -> pa.Table:
        """All batches that have not been read yet as one Arrow table, a row per recommendation.

        Its columns: ``user_id``; ``rank``, from 1; ``item_id``; ``score``; ``predicted_rating`` and ``title``, null
        where there is none; ``basis``. ImportError where pyarrow is missing.
        """
        return tables.arrow_table(self._unread())

    def to_pandas(self) -> pd.DataFrame:
        """All batches that have not been read yet as one DataFrame, a row per recommendation.

        Its columns: ``user_id``; ``rank``, from 1; ``item_id``; ``score``; ``predicted_rating`` and ``title``, missing
        where there is none; ``basis``. ImportError where pandas is missing.
        """
        return tables.data_frame(self._unread())

    def close(self) -> None:
        """Ends the call."""
        self._closed = True
        self._batches.close()

    def _unread(self) -> Iterator[RecommendationBatch]:
        if self._closed or self._bulk.ended:
            raise RuntimeError(USED_UP)
        return self._reading()

    def _reading(self) -> Iterator[RecommendationBatch]:
        for batch in self._batches:  # noqa: UP028 - it would end the call where a reader stops, who may go on
            yield batch
        if self._closed:
            raise RuntimeError(USED_UP)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
