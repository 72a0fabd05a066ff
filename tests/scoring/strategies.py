"""Factor matrices that are hard to rank."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


@st.composite
def matrices(draw: st.DrawFn, rows: st.SearchStrategy[int], columns: int) -> Matrix:
    """float32 (rows, columns): normal numbers, small integers, near and exact copies, zeros, any magnitude."""
    count = draw(rows)
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kind = draw(st.sampled_from(["normal", "integers", "neighbours", "copies", "zeros"]))
    matrix = random.standard_normal((count, columns))
    if kind == "integers":
        matrix = np.rint(matrix)
    elif kind == "neighbours":  # rows that float32 arithmetic cannot tell apart, but float64 can
        matrix = matrix[:1] * (1 + random.integers(-3, 4, (count, columns)) * 2.0**-23)
    elif kind == "copies":
        matrix = matrix[random.integers(0, max(1, count // 3), count)]
    elif kind == "zeros":
        matrix[random.random(count) < 0.6] = 0
    scale = draw(st.sampled_from([1.0, 1.0, 1e-3, 1e4, 1e-22, 1e-42, 1e18, 3e37]))
    matrix *= scale
    if draw(st.booleans()):  # magnitudes that differ from row to row
        matrix *= 10.0 ** random.integers(-4, 1, (count, 1))
    return matrix.clip(-3e38, 3e38).astype(np.float32)
