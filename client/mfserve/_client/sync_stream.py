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


class RecommendationStream(Iterator[UserRecommendations]):
    """One UserRecommendations per user, in the order of the users; or columns: ``batches``, ``to_arrow`` and so on.

    It can be read once. Whoever stops early should close it, or use it as a context manager: that ends the call.
    """

    def __init__(self, bulk: Bulk, batches: Generator[RecommendationBatch]) -> None:
        self._bulk = bulk
        self._batches = batches
        self._rows: Iterator[UserRecommendations] = chain.from_iterable(batches)

    @property
    def served_version(self) -> ServedVersion | None:
        """The version to which the whole stream is pinned; None before the first answer."""
        return self._bulk.served_version

    def __next__(self) -> UserRecommendations:
        return next(self._rows)

    def batches(self) -> Iterator[RecommendationBatch]:
        """The batches that have not been read yet, for those who work on columns."""
        return self._batches

    def to_arrow(self) -> pa.Table:
        """All batches that have not been read yet as one Arrow table, a row per recommendation.

        Its columns: ``user_id``; ``rank``, from 1; ``item_id``; ``score``; ``predicted_rating`` and ``title``, null
        where there is none; ``basis``. ImportError where pyarrow is missing.
        """
        return tables.arrow_table(self._batches)

    def to_pandas(self) -> pd.DataFrame:
        """All batches that have not been read yet as one DataFrame, a row per recommendation.

        Its columns: ``user_id``; ``rank``, from 1; ``item_id``; ``score``; ``predicted_rating`` and ``title``, missing
        where there is none; ``basis``. ImportError where pandas is missing.
        """
        return tables.data_frame(self._batches)

    def close(self) -> None:
        """Ends the call."""
        self._rows = iter(())
        self._batches.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
