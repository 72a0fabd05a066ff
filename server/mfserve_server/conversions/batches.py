"""Batches of recommendations, as the bytes of messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve.wire.v1 import recommendation_columns_pb2 as wire
from mfserve_registry.snapshot import Snapshot
from mfserve_scoring import RecommendationBatch
from mfserve_server.replies import ITEMS_KEPT

Indices = NDArray[np.intp]


class ItemEntries(dict[int, bytes]):
    """What answers say of a snapshot's items, an id and a title each: made when an item is first recommended."""

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._snapshot = snapshot

    def of(self, items: Indices) -> bytes:
        """A serialized RecommendationBatch with the ids and titles of ``items`` alone."""
        # To rank more takes so long that writing them anew, all at once, hardly counts.
        if len(self._snapshot.items) > ITEMS_KEPT:
            return self._serialized(items)
        return b"".join(map(self.__getitem__, items.tolist()))

    def __missing__(self, item: int) -> bytes:
        made = self[item] = self._serialized(np.array([item]))
        return made

    def _serialized(self, items: Indices) -> bytes:
        titles = self._snapshot.titles
        return wire.RecommendationBatch(
            item_ids=self._snapshot.items.take(items), titles=None if titles is None else titles.take(items)
        ).SerializeToString()


class BatchEncoder:
    """Writes the answers to batches of users; for one thread at a time.

    Args:
        items: number of items of the version.
        entries: what is written of each.
    """

    def __init__(self, items: int, entries: ItemEntries) -> None:
        self._entries = entries
        # Only what was written in the same call is ever read.
        self._place = np.empty(items, dtype="<u4")

    def encode(self, batch_id: int, parts: Sequence[RecommendationBatch]) -> bytes:
        """A serialized mfserve.v1.StreamRecommendResponse; complete in itself: its item ids go with it.

        Args:
            batch_id: of the batch.
            parts: what its users get, end to end.
        """
        items, positions = self._distinct(_joined([part.item_indices for part in parts], np.intp))
        predicted = [part.predicted_ratings for part in parts if part.predicted_ratings is not None]
        columns = wire.RecommendationBatch(
            batch_id=batch_id,
            item_indices=positions.tobytes(),
            scores=_joined([part.scores for part in parts], "<f4").tobytes(),
            predicted_ratings=_joined(predicted, "<f4").tobytes(),
            counts=_joined([part.counts for part in parts], "<u4").tobytes(),
            bases=_joined([part.bases for part in parts], np.uint8).tobytes(),
        )
        batch = columns.SerializeToString() + self._entries.of(items)
        return wire.StreamRecommendResponse(batch=batch).SerializeToString()

    def _distinct(self, indices: Indices) -> tuple[Indices, NDArray[np.uint32]]:
        """The distinct ones, and for each of ``indices`` its place among them; without sorting.

        Each index writes where it stands into the cell of its item; the one that finds itself there afterwards speaks
        for the item.
        """
        stands = np.arange(len(indices), dtype=self._place.dtype)
        self._place[indices] = stands
        distinct = indices[self._place[indices] == stands]
        self._place[distinct] = stands[: len(distinct)]
        return distinct, self._place[indices]


def _joined(columns: Sequence[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    if len(columns) == 1:
        return columns[0].astype(dtype, copy=False)
    return np.concatenate(columns, dtype=dtype, casting="unsafe") if columns else np.empty(0, dtype=dtype)
