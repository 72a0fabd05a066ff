"""The best results of each row of a batch so far, and what an item must score to be among them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from mfserve_scoring.exact import Doubles, Floats, Indices

_LOWEST = float(np.finfo(np.float32).min)


class Pairs:
    """Pairs (row, item) that wait for their rescoring."""

    def __init__(self) -> None:
        self._rows = [np.empty(0, dtype=np.intp)]
        self._items = [np.empty(0, dtype=np.intp)]

    def __len__(self) -> int:
        return sum(map(len, self._rows))

    def add(self, row: NDArray[np.intp], item: NDArray[np.intp]) -> None:
        """Takes in pairs: items ascending within a row and above all items before."""
        self._rows.append(row)
        self._items.append(item)

    def drain(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """All pairs, rows ascending and items ascending within a row; then there are none."""
        row, item = np.concatenate(self._rows), np.concatenate(self._items)
        if (row[1:] < row[:-1]).any():
            order = np.argsort(row.astype(np.uint16), kind="stable")  # of 16 bits, numpy sorts by counting
            row, item = row[order], item[order]
        del self._rows[1:], self._items[1:]
        return row, item


class Best:
    """Results of rows numbered from 0: scores descending, equal ones in ascending order of the item.

    Attributes:
        width: the most results of a row.
        worst: float64 (rows,), the score that a further item must exceed; -inf where the row is not full.
    """

    def __init__(self, rows: int, width: int) -> None:
        self.width = width
        self._scores = np.full((rows, width), -np.inf)
        self._items = np.zeros((rows, width), dtype=np.int32)
        self._empty = True

    @property
    def worst(self) -> Doubles:
        return self._scores[:, -1]

    def merge(self, row: NDArray[np.intp], item: NDArray[np.intp], score: Doubles) -> None:
        """Takes in scored pairs: rows ascending, items ascending within a row and above all items before."""
        if not len(row):
            return
        counts = np.bincount(row, minlength=len(self._scores))
        rows = np.flatnonzero(counts)
        counts = counts[rows]
        # The new results stand behind the old ones of their row, which are in order already.
        old = 0 if self._empty else self.width
        scores = np.full((len(rows), old + int(counts.max())), -np.inf)
        items = np.zeros(scores.shape, dtype=np.int32)
        if old:
            scores[:, :old] = self._scores[rows]
            items[:, :old] = self._items[rows]
        starts = np.arange(old, scores.size, scores.shape[1])
        place = np.repeat(starts - (np.cumsum(counts) - counts), counts)
        place += np.arange(len(place))
        scores.reshape(-1)[place] = score
        items.reshape(-1)[place] = item
        # Stable: columns ascend by item among equal scores, so the order after sorting does too.
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self.width]
        columns = order.shape[1]
        order += (starts - old)[:, None]
        self._scores[rows, :columns] = scores.take(order)
        self._items[rows, :columns] = items.take(order)
        self._empty = False

    def result(self) -> tuple[Indices, Doubles, Indices]:
        """Items and scores of all rows, end to end, and the length of each row's part."""
        found = self._scores > -np.inf
        counts = np.count_nonzero(found, axis=1).astype(np.int32)
        if found.all():
            return self._items.reshape(-1), self._scores.reshape(-1), counts
        return self._items[found], self._scores[found], counts


def reached_by(scores: Floats, k: int) -> Floats:
    """A score that at least k entries of the row reach, close to the k-th largest; -inf where there are not so many.

    The k-th largest of the maxima of disjoint groups is such a score. Halving a row a few times, by the maximum of
    each two entries, gives the groups in a tenth of the time that selecting from the whole row takes; while
    4 k groups are left, few more than k entries lie above.

    Args:
        scores: float32 (..., columns).

    Returns:
        float32 (...).
    """
    columns = scores.shape[-1]
    if columns < k:
        return np.full(scores.shape[:-1], -np.inf, dtype=np.float32)
    with row_by_row():
        while columns >= 8 * k:
            columns //= 2
            scores = np.maximum(scores[..., :columns], scores[..., columns : 2 * columns])
    return np.partition(scores, columns - k, axis=-1)[..., columns - k]


@contextmanager
def row_by_row() -> Iterator[None]:
    """Within, numpy's elementwise functions go over the rows of a matrix where they are.

    Rows that do not follow each other, or that meet one number each, are else copied together to fill a buffer, which
    takes as long again as the function. Not for operands of different types, which need the buffer.
    """
    with np.errstate():  # leaving it restores the buffer's size
        np.setbufsize(16)
        yield


def below(scores: Doubles) -> Floats:
    """Float32 numbers below ``scores``, though hardly: what any float32 number that reaches them exceeds."""
    with np.errstate(over="ignore"):  # below the lowest finite number is -inf, which is meant
        return (scores - (np.abs(scores) * 2.0**-23 + 2.0**-149)).astype(np.float32)


def below_one(score: float) -> float:
    """The same for one number; rounded to float32 it is still below ``score``."""
    lower = score - (abs(score) * 2.0**-23 + 2.0**-149)
    return lower if lower > _LOWEST else -math.inf
