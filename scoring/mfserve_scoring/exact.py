"""The one way in which a score is computed, so that the same pair gives the same bits wherever it is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.int32]

BLOCK = 1024
"""Rows converted to float64 at a time. The copy stays in the cache; and malloc keeps its pages, where it would fetch
those of a few MiB from the system anew each time, which takes three times as long as the arithmetic."""

_LARGEST = float(np.finfo(np.float32).max)


def dots(left: NDArray[Any], right: NDArray[Any]) -> Doubles:
    """Row-wise dot products of two matrices of float32 numbers, in float64.

    A product of two float32 numbers is exact in float64, and ``einsum`` sums contiguous rows one by one, in an order
    that only their length decides. So the result for a pair of rows does not depend on how many other rows there are or
    where the pair stands among them, which no BLAS promises.

    Args:
        left, right: (n, k), float32, or float64 converted from it; either may have one row, which then meets every
            row of the other.

    Returns:
        float64 (n,).
    """
    if len(left) == 1:
        return dots_of_one(left[0], right)
    if len(right) == 1:
        return dots_of_one(right[0], left)
    left, right = np.ascontiguousarray(left, dtype=np.float64), np.ascontiguousarray(right, dtype=np.float64)
    sums: Doubles = np.einsum("ik,ik->i", left, right)
    return sums


def dots_of_one(one: NDArray[Any], others: NDArray[Any]) -> Doubles:
    """The same for one row, (k,), that meets every row of ``others``, (n, k)."""
    one, others = np.ascontiguousarray(one, dtype=np.float64), np.ascontiguousarray(others, dtype=np.float64)
    sums: Doubles = np.einsum("ik,k->i", others, one)
    return sums


def to_float32(scores: Doubles) -> Floats:
    """Rounds to float32; beyond its range to the largest finite value, never to infinity."""
    # In place of ndarray.clip, which costs more than the arithmetic where there are ten.
    return np.minimum(np.maximum(scores, -_LARGEST), _LARGEST).astype(np.float32)


def row_norms(matrix: NDArray[Any]) -> Doubles:
    """Euclidean norm of each row, in float64, without a float64 copy of the whole matrix."""
    norms = np.empty(len(matrix))
    for start in range(0, len(matrix), BLOCK):
        rows = matrix[start : start + BLOCK]
        norms[start : start + BLOCK] = np.sqrt(dots(rows, rows))
    return norms
