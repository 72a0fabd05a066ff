"""Settles rows that rate the same (user, item) pair more than once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Settled:
    """What is left when every pair occurs once.

    Attributes:
        rows: (m,), ascending positions of the rows that stay; None: all of them.
        rating: float32 (m,), their ratings.
        again: with the policy "fail": the first row that repeats a pair, and the first row that has it.
    """

    rows: NDArray[np.intp] | None
    rating: NDArray[np.float32]
    again: tuple[int, int] | None = None


def settle_duplicates(
    user: NDArray[np.int32],
    item: NDArray[np.int32],
    rating: NDArray[np.float32],
    *,
    policy: Literal["fail", "first", "last", "mean"],
) -> Settled:
    """Leaves one row for each pair.

    Args:
        user: int32 (n,), codes.
        item: int32 (n,), codes.
        rating: float32 (n,).
        policy: "first" and "last" keep that row of the file; "mean" keeps the first row with the mean of all
            the pair's ratings, taken in float64.
    """
    # Most data has no duplicate, and sorting values is several times faster than sorting positions.
    if len(rating) == 0 or not _some_equal(_pairs(user, item)):
        return Settled(None, rating)

    pair = _pairs(user, item)
    order = np.argsort(pair, kind="stable")  # stable: rows of one pair stay in file order
    pair = pair[order]
    starts_group = np.concatenate(([True], pair[1:] != pair[:-1]))
    del pair
    starts = np.flatnonzero(starts_group)
    first = order[starts]
    if policy == "fail":
        group = np.cumsum(starts_group) - 1
        repeats = order[~starts_group]
        earliest = int(np.argmin(repeats))
        return Settled(None, rating, (int(repeats[earliest]), int(first[group[~starts_group][earliest]])))
    if policy == "last":
        ends = np.append(starts[1:], len(order)) - 1
        rows = np.sort(order[ends])
        return Settled(rows, rating[rows])
    if policy == "first":
        rows = np.sort(first)
        return Settled(rows, rating[rows])
    sums = np.add.reduceat(rating[order].astype(np.float64), starts)
    means = sums / np.diff(np.append(starts, len(order)))
    by_row = np.argsort(first)
    return Settled(first[by_row], means[by_row].astype(np.float32))


def _pairs(user: NDArray[np.int32], item: NDArray[np.int32]) -> NDArray[np.int64]:
    """One number for each pair, made in place: with all rows' pairs in it, no other array is as large."""
    pair = user.astype(np.int64)
    pair *= int(item.max()) + 1
    pair += item
    return pair


def _some_equal(values: NDArray[np.int64]) -> bool:
    """Whether two of the values are the same; sorts them."""
    values.sort()
    return bool((values[1:] == values[:-1]).any())
