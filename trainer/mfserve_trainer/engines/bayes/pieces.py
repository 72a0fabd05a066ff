"""Cuts one side's rating histories into pieces of one length, and sums over a row by summing over its pieces.

Every row ends in one piece that is not full, so little is padding; a history of 10,000 ratings is 625 pieces and pads
nobody (ALX, Mehta et al. 2021, section 4.1). One gather, one batched matrix product and one sum by segment then do for
all rows what a loop over rows would do one by one. (``engines.histories`` serves large exact products best; here they
are small, and a call for each of its batches would cost more than the arithmetic.)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

LENGTH = 16
"""Ratings in a piece: shorter ones pad less, longer ones are fewer."""
BLOCK_FLOATS = 1 << 25
"""The pieces' matrices of a block have no more numbers than this, unless a single row's have: 128 MiB."""


@dataclass(frozen=True, slots=True)
class Block:
    """The histories of some consecutive rows.

    Attributes:
        others: int32 (P, LENGTH), rows of the other side's table; padding is its last row, "nobody".
        values: float32 (P, LENGTH), the ratings; padding is 0.
        row: int32 (P,), whose piece it is, counted from the block's first row on, ascending.
        rows: which rows.
    """

    others: tf.Tensor
    values: tf.Tensor
    row: tf.Tensor
    rows: slice


@dataclass(frozen=True, slots=True)
class Pieces:
    """The histories of all rows of one side.

    Attributes:
        blocks: in the order of the rows.
        counts: int64 (rows,), ratings of each row, at least 1.
    """

    blocks: tuple[Block, ...]
    counts: NDArray[np.int64]


def pieces(
    row_index: NDArray[np.int32],
    other_index: NDArray[np.int32],
    values: NDArray[np.float32],
    rows: int,
    others: int,
    *,
    width: int,
) -> Pieces:
    """Cuts the ratings of ``rows`` rows over ``others`` columns.

    Args:
        row_index: int32 (n,), 0 to rows − 1, each at least once.
        other_index: int32 (n,), 0 to others − 1.
        values: float32 (n,).
        rows: size of the side whose histories these are.
        others: size of the other side.
        width: d, the unknowns of a row.
    """
    counts = np.bincount(row_index, minlength=rows)
    by_row = np.argsort(row_index, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts)])
    blocks = []
    for first, end in _cuts(-(-counts // LENGTH), width):
        chosen = by_row[starts[first] : starts[end]]
        blocks.append(
            _block(row_index[chosen] - first, other_index[chosen], values[chosen], first, end, others)
        )
    return Pieces(tuple(blocks), counts)


def _block(
    row: NDArray[np.int32],
    other: NDArray[np.int32],
    values: NDArray[np.float32],
    first: int,
    end: int,
    nobody: int,
) -> Block:
    counts = np.bincount(row, minlength=end - first)
    pieces_of_row = -(-counts // LENGTH)
    rank = np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    place = (np.cumsum(pieces_of_row) - pieces_of_row)[row] * LENGTH + rank
    total = int(pieces_of_row.sum())
    padded_others = np.full(total * LENGTH, nobody, dtype=np.int32)
    padded_others[place] = other
    padded_values = np.zeros(total * LENGTH, dtype=np.float32)
    padded_values[place] = values
    return Block(
        others=tf.constant(padded_others.reshape(total, LENGTH)),
        values=tf.constant(padded_values.reshape(total, LENGTH)),
        row=tf.constant(np.repeat(np.arange(end - first, dtype=np.int32), pieces_of_row)),
        rows=slice(first, end),
    )


def _cuts(pieces_of_row: NDArray[np.int64], width: int) -> Iterable[tuple[int, int]]:
    """Half-open ranges of rows, each with as many pieces as a block may have."""
    most = BLOCK_FLOATS // (width + 1) ** 2
    ends = np.cumsum(pieces_of_row)
    first = 0
    while first < len(ends):
        before = ends[first - 1] if first else 0
        end = max(first + 1, int(np.searchsorted(ends, before + most, side="right")))
        yield first, end
        first = end
