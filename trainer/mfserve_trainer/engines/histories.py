"""Cuts one side's rating histories into rectangular batches that waste little on padding.

Rows are sorted by the length of their history, so that neighbours in a batch are about equally long, and a batch
ends where the next row would be padded by more than a fixed share or where the batch would grow too big for the
cache. One very long history thus pads nobody (the problem that ALX, Mehta et al. 2021, section 4.1, solves by
cutting histories into pieces).

Both sides keep their parameters in tables with one row more than they have members: the last row is zero and
stands for "nobody". Padding points to it, and so adds nothing to any sum.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from scipy.sparse import coo_array

from mfserve_trainer.ratings import Ratings

SHORTEST_SHARE = 0.8
"""The shortest history of a batch has at least this share of the longest one's length."""
BATCH_FLOATS = 1 << 22
"""The gathered vectors (B, L, d) of a batch, and its Gram matrices (B, d, d), have no more numbers than this, unless
a single row's have."""


@dataclass(frozen=True, slots=True)
class HistoryBatch:
    """The histories of B rows, padded to the longest of them, L.

    Attributes:
        others: int32 (B, L), rows of the other side's table; padding is its last row.
        values: float32 (B, L), the rating or target; padding is 0.
        counts: float32 (B,), true lengths, at least 1.
        rows: int32 (B,), whose histories these are.
    """

    others: tf.Tensor
    values: tf.Tensor
    counts: tf.Tensor
    rows: tf.Tensor


@dataclass(frozen=True, slots=True)
class Histories:
    """All histories of one side.

    Attributes:
        batches: longest histories first; rows without any rating are in none of them.
        place: int32 (rows + 1,), where each row's solution stands when the batches' solutions are put one after
            another with one zero row behind them; a row without ratings, and "nobody", is that zero row.
        counts: int64 (rows,), ratings per row.
    """

    batches: tuple[HistoryBatch, ...]
    place: tf.Tensor
    counts: NDArray[np.int64]

    def assemble(self, solutions: Iterable[tf.Tensor]) -> tf.Tensor:
        """Table (rows + 1, d) of the batches' solutions, each (B, d), given in the order of ``batches``."""
        solved = list(solutions)
        nobody = tf.zeros_like(solved[0][:1])
        return tf.gather(tf.concat([*solved, nobody], axis=0), self.place)


def histories(
    row_index: NDArray[np.int32],
    other_index: NDArray[np.int32],
    values: NDArray[np.float32],
    rows: int,
    others: int,
    *,
    width: int,
) -> Histories:
    """Batches the ratings of ``rows`` rows over ``others`` columns.

    Args:
        row_index: int32 (n,), 0 to rows − 1; n at least 1.
        other_index: int32 (n,), 0 to others − 1.
        values: float32 (n,).
        rows: size of the side whose histories these are.
        others: size of the other side.
        width: d, the unknowns of a row.
    """
    counts = np.bincount(row_index, minlength=rows)
    longest_first = np.argsort(-counts, kind="stable").astype(np.int32)
    rated = int(np.count_nonzero(counts))
    place = np.empty(rows + 1, dtype=np.int32)
    place[longest_first] = np.minimum(np.arange(rows), rated)
    place[rows] = rated

    # A counting sort: stable, linear, and without the 64-bit permutation that a comparison sort would return.
    table = coo_array((values, (place[row_index], other_index)), shape=(rated, others))
    # No pair occurs twice, and the order within a row is no matter: nothing to sum or sort.
    table.has_canonical_format = True
    sorted_by_row = table.tocsr()
    del table  # the sorted copy is enough

    lengths = counts[longest_first[:rated]]
    batches = []
    for first, end in _cuts(lengths, width):
        begin, stop = sorted_by_row.indptr[[first, end]]
        there = np.arange(lengths[first]) < lengths[first:end, None]
        batches.append(
            HistoryBatch(
                others=_padded(sorted_by_row.indices[begin:stop], there, np.int32(others)),
                values=_padded(sorted_by_row.data[begin:stop], there, np.float32(0)),
                counts=tf.constant(lengths[first:end], tf.float32),
                rows=tf.constant(longest_first[first:end], tf.int32),
            )
        )
    return Histories(tuple(batches), tf.constant(place, tf.int32), counts)


def both_sides(ratings: Ratings, values: NDArray[np.float32], *, width: int) -> tuple[Histories, Histories]:
    """The histories of users and of items, holding ``values``, one for each rating."""
    users, items = len(ratings.user_ids), len(ratings.item_ids)
    return (
        histories(ratings.user_index, ratings.item_index, values, users, items, width=width),
        histories(ratings.item_index, ratings.user_index, values, items, users, width=width),
    )


def squared_norms(side: tf.Tensor) -> NDArray[np.float32]:
    """float32 (rows,), of each row of a table but the last, "nobody"."""
    members = side.numpy()[:-1]
    norms: NDArray[np.float32] = np.einsum("ij,ij->i", members, members)
    return norms


def _padded(flat: NDArray[np.generic], there: NDArray[np.bool_], padding: np.generic) -> tf.Tensor:
    """(B, L) of the padding's type: the entries of ``flat``, row after row, where ``there``."""
    filled = np.full(there.shape, padding)
    filled[there] = flat
    # A constant keeps a second copy of its value as long as it lives; the result of an operation does not.
    return tf.identity(tf.constant(filled))


def _cuts(lengths: NDArray[np.int64], width: int) -> Iterable[tuple[int, int]]:
    """Half-open ranges over descending, positive ``lengths``."""
    first = 0
    while first < len(lengths):
        longest = int(lengths[first])
        # First position whose history is too short to share this batch.
        similar = int(np.searchsorted(-lengths, -SHORTEST_SHARE * longest, side="right"))
        end = min(similar, first + max(1, BATCH_FLOATS // (max(longest, width) * width)))
        yield first, end
        first = end
