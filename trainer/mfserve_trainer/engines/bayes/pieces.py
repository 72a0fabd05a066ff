"""Cuts one side's rating histories into pieces of one length, and sums over a row by summing over its pieces.

Every row ends in one piece that is not full, so little is padding; a history of 10,000 ratings is 625 pieces and pads
nobody (ALX, Mehta et al. 2021, section 4.1). One gather, one batched matrix product and one sum by segment then do for
all rows what a loop over rows would do one by one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

LENGTH = 16
"""Ratings in a piece: shorter ones pad less, longer ones are fewer."""


@dataclass(frozen=True, slots=True)
class Pieces:
    """The histories of all rows of one side.

    Attributes:
        others: int32 (P, LENGTH), rows of the other side's table; padding is its last row, "nobody".
        values: float32 (P, LENGTH), the ratings; padding is 0.
        row: int32 (P,), whose piece it is, ascending.
        counts: int64 (rows,), ratings of each row, at least 1.
    """

    others: tf.Tensor
    values: tf.Tensor
    row: tf.Tensor
    counts: NDArray[np.int64]


def pieces(
    row_index: NDArray[np.int32],
    other_index: NDArray[np.int32],
    values: NDArray[np.float32],
    rows: int,
    others: int,
) -> Pieces:
    """Cuts the ratings of ``rows`` rows over ``others`` columns.

    Args:
        row_index: int32 (n,), 0 to rows − 1, each at least once.
        other_index: int32 (n,), 0 to others − 1.
        values: float32 (n,).
        rows: size of the side whose histories these are.
        others: size of the other side.
    """
    counts = np.bincount(row_index, minlength=rows)
    pieces_of_row = -(-counts // LENGTH)
    first_piece = np.cumsum(pieces_of_row) - pieces_of_row
    by_row = np.argsort(row_index, kind="stable")
    owner = row_index[by_row]
    rank = np.arange(len(by_row)) - (np.cumsum(counts) - counts)[owner]
    place = first_piece[owner] * LENGTH + rank

    total = int(pieces_of_row.sum())
    padded_others = np.full(total * LENGTH, others, dtype=np.int32)
    padded_others[place] = other_index[by_row]
    padded_values = np.zeros(total * LENGTH, dtype=np.float32)
    padded_values[place] = values[by_row]
    return Pieces(
        others=tf.constant(padded_others.reshape(total, LENGTH)),
        values=tf.constant(padded_values.reshape(total, LENGTH)),
        row=tf.constant(np.repeat(np.arange(rows, dtype=np.int32), pieces_of_row)),
        counts=counts,
    )
