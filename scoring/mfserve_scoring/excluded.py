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
        rated, users: row r leaves out what user ``users[r]`` rated too; None where no row does.
    """

    everywhere: Indices = field(default_factory=lambda: NOTHING)
    rated: RatedItems | None = None
    users: NDArray[np.integer[Any]] | None = None

    @classmethod
    def seen(cls, rated: RatedItems, users: NDArray[np.integer[Any]], everywhere: Indices) -> Excluded:
        """What each of ``users`` rated (row r of the batch is user ``users[r]``), and ``everywhere``.

        A user of -1, one who is not in the data, has rated nothing.
        """
        return cls(everywhere, rated, users)

    def of(self, row: int) -> Indices:
        """The items left out of one row, in any order, repeats possible."""
        if self.rated is None or self.users is None or self.users[row] < 0:
            return self.everywhere
        seen = self.rated.of(self.users[row])
        return np.concatenate((seen, self.everywhere)) if len(self.everywhere) else seen

    def take(self, rows: NDArray[np.intp] | slice) -> Excluded:
        """The same for these rows alone, numbered from 0."""
        return self if self.users is None else Excluded(self.everywhere, self.rated, self.users[rows])

    def counted(self) -> tuple[NDArray[np.intp], Indices]:
        """How many items each row's own user rated, and these items, end to end. ``everywhere`` is not among them."""
        if self.rated is None or self.users is None:
            return np.empty(0, dtype=np.intp), NOTHING
        # Index -1 gives the last entry of both, so that such a user's row is empty.
        starts = self.rated.indptr[self.users]
        counts = self.rated.indptr[1:][self.users] - starts
        ends = counts.cumsum()
        # Position within the row, shifted to the row's start in the CSR.
        positions = (starts - (ends - counts)).repeat(counts)
        positions += np.arange(len(positions))
        return counts, self.rated.indices.take(positions)


class Mask:
    """Takes the excluded items of some rows out of their scores, chunk after chunk."""

    def __init__(self, excluded: Excluded) -> None:
        self._everywhere = excluded.everywhere
        self._counts, self._items = excluded.counted()

    def apply(self, scores: Floats, start: int, columns: int) -> None:
        """Sets the excluded entries to -inf, in place.

        Args:
            scores: float32 (rows, more than ``columns``), C- or F-contiguous; column c is item ``start + c`` for the
                first ``columns``. The column after them takes what falls elsewhere.
        """
        if len(self._everywhere):
            scores[:, column_of(self._everywhere, start, columns)] = -np.inf
        if len(self._items):
            row, column = (stride // scores.itemsize for stride in scores.strides)
            flat = np.arange(0, len(scores) * row, row).repeat(self._counts)
            flat += column_of(self._items, start, columns) * np.intp(column)
            scores.ravel(order="K")[flat] = -np.inf  # a view


def column_of(items: Indices, start: int, columns: int) -> NDArray[np.uint32]:
    """The column of each item in a chunk of ``columns`` items from ``start`` on; ``columns`` where it is not in it."""
    # Below the start the unsigned difference is huge: one minimum serves both sides.
    return np.minimum((items - np.int32(start)).view(np.uint32), np.uint32(columns))
