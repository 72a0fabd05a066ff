"""Which items must not appear in whose answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import RatedItems
from mfserve_scoring.exact import Floats, Indices

NOTHING: Indices = np.empty(0, dtype=np.int32)
NOTHING.setflags(write=False)


@dataclass(frozen=True, slots=True)
class Excluded:
    """Items left out of each row of a batch.

    Attributes:
        everywhere: int32 (m,): left out of every row, in any order, repeats allowed.
        rows: intp (n,), ascending: with ``items``, pairs of (row of the batch, item) that are left out.
        items: int32 (n,).
    """

    everywhere: Indices = field(default_factory=lambda: NOTHING)
    rows: NDArray[np.intp] | None = None
    items: Indices = field(default_factory=lambda: NOTHING)

    @classmethod
    def seen(cls, rated: RatedItems, users: NDArray[np.integer[Any]], everywhere: Indices) -> Excluded:
        """What each of ``users`` rated (row r of the batch is user ``users[r]``), and ``everywhere``.

        A user of -1, one who is not in the data, has rated nothing.
        """
        # Index -1 gives the last entry of both, so that such a user's row is empty.
        starts = rated.indptr[users]
        counts = rated.indptr[1:][users] - starts
        rows = np.repeat(np.arange(len(users)), counts)
        # Position within the row, shifted to the row's start in the CSR.
        positions = np.arange(len(rows)) + np.repeat(starts - (np.cumsum(counts) - counts), counts)
        return cls(everywhere, rows, rated.indices[positions])

    def of(self, row: int) -> Indices:
        """The items left out of one row, in any order, repeats possible."""
        alone = self.block(row, row + 1)
        return np.concatenate((alone.everywhere, alone.items)) if len(alone.items) else alone.everywhere

    def block(self, start: int, stop: int) -> Excluded:
        """The same for rows ``start`` to ``stop`` alone, numbered from 0."""
        if self.rows is None:
            return self
        low, high = np.searchsorted(self.rows, (start, stop))
        return Excluded(self.everywhere, self.rows[low:high] - start, self.items[low:high])

    def mask(self, scores: Floats, start: int) -> None:
        """Sets the excluded entries of ``scores`` to -inf, in place.

        Args:
            scores: float32 (rows, columns), C-contiguous; column c is item ``start + c``.
        """
        columns = scores.shape[1]
        if len(self.everywhere):
            scores[:, _within(self.everywhere, start, columns)] = -np.inf
        if self.rows is not None and len(self.rows):
            items = self.items.astype(np.intp) - start
            flat = self.rows * columns + items
            scores.reshape(-1)[flat[(items >= 0) & (items < columns)]] = -np.inf


def _within(items: Indices, start: int, columns: int) -> Indices:
    shifted = items - np.int32(start)
    return shifted[(shifted >= 0) & (shifted < columns)]
