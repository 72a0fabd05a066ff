"""Float32 scores of a chunk of items for several users: the matrix product that an exact search mostly consists of.

The matrix is (users, items) in one of two layouts, which differ in what they take, not in what they hold:

- **by user**, each user's scores in a line. What a user's best items need is then one walk along that line; and BLAS
  multiplies for hundreds of users as fast as it can.
- **by item**, the scores of each item in a line. A product is then small enough for OpenBLAS to multiply the matrices
  where they lie (with AVX-512). For a larger one it first copies both, and for two to sixty-four users that takes as
  long again as the multiplication.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfserve_scoring.best import row_by_row
from mfserve_scoring.exact import Floats

FEW = 64
"""Users up to whom scores are made by item."""
_SPARE = 16
"""Columns behind those of a layout by user, of which the first takes what ``Mask`` finds elsewhere; so many for
alignment."""
_TURNED = 32
"""Users up to whom a product by user is quicker where BLAS makes it by item and it is turned."""
_UNPACKED = 1_000_000
"""Multiplications up to which OpenBLAS does not copy what it multiplies."""
_MOST_ITEMS = 1024
"""Items of one such product."""
_LINE = 2048
"""Scores by item that are compared in one go: numpy's loop over one item's users would be a short one."""
_WIDE = 2048
"""Items from which on a chunk's rows are first asked whether they have anything at all."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Scores of a chunk.

    Attributes:
        padded: float32 (users, more than ``items``), in memory by user or by item. The columns behind ``items`` mean
            nothing; by item they are -inf, and must stay so.
        items: number of items.
        by_item: the layout.
    """

    padded: Floats
    items: int
    by_item: bool

    @property
    def matrix(self) -> Floats:
        """float32 (users, items), a view."""
        return self.padded[:, : self.items]

    def above(self, cut: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """User and item of the scores that exceed their user's cut, float32 (users,); items ascending for each user."""
        return _above_by_item(self.padded.T, cut) if self.by_item else _above_by_user(self.matrix, cut)


def room_for(users: int, items: int) -> int:
    """Numbers that ``multiply`` may need room for, in either layout; more users or items never need less."""
    return users * (items + _SPARE) + _LINE


def multiply(users: Floats, items: Floats, room: Floats, *, by_item: bool) -> Scores:
    """Every user's product with every item.

    Args:
        users: float32 (n, k), C-contiguous; by item at most ``FEW``.
        items: float32 (m, k), C-contiguous.
        room: float32, at least ``room_for(n, m)``: where the scores are put.
    """
    rows, columns = len(users), len(items)
    if by_item:
        return _multiply_by_item(users, items, room)
    padded = room[: rows * (columns + _SPARE)].reshape(rows, columns + _SPARE)
    scores = padded[:, :columns]
    if rows <= _TURNED:
        scores[:] = np.matmul(items, np.ascontiguousarray(users.T)).T
    else:
        np.matmul(users, items.T, out=scores)
    return Scores(padded, columns, by_item=False)


def _multiply_by_item(users: Floats, items: Floats, room: Floats) -> Scores:
    rows, columns = len(users), len(items)
    scores = room[: rows * _padded(rows, columns)].reshape(-1, rows)
    factors = np.ascontiguousarray(users.T)
    together = max(1, min(_MOST_ITEMS, _UNPACKED // factors.size))
    whole = columns - columns % together
    # One call of numpy's for many products.
    stacked = items[:whole].reshape(-1, together, items.shape[1])
    np.matmul(stacked, factors, out=scores[:whole].reshape(-1, together, rows))
    np.matmul(items[whole:], factors, out=scores[whole:columns])
    scores[columns:] = -np.inf
    return Scores(scores.T, columns, by_item=True)


def _padded(users: int, items: int) -> int:
    """Items that fill whole lines, at least one more than there are."""
    line = _LINE // users
    return (items // line + 1) * line


def _above_by_item(scores: Floats, cut: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    line = _LINE // len(cut)
    lines = scores.reshape(-1, line * len(cut))
    above = lines > np.tile(cut, line)
    some = np.flatnonzero(above.any(axis=1))  # in a large chunk, most have none
    number, place = _split(np.flatnonzero(above.take(some, axis=0)), lines.shape[1])
    item, user = _split(some[number] * lines.shape[1] + place, len(cut))
    return user, item


def _above_by_user(scores: Floats, cut: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    with row_by_row():
        above = scores > cut[:, None]
    columns = above.shape[1]
    if columns < _WIDE:
        return _split(np.flatnonzero(above), columns)
    rows = np.flatnonzero(above.any(axis=1))  # of a large chunk, most rows have none
    row, column = _split(np.flatnonzero(above.take(rows, axis=0)), columns)
    return rows[row], column


def _split(flat: NDArray[np.intp], columns: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of places in a matrix."""
    row = flat // columns
    return row, flat - row * columns
