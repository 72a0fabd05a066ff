"""Items whose factors point the same way: cosine of the angle between them."""

from __future__ import annotations

import numpy as np

from mfserve_scoring.answers import SimilarItems
from mfserve_scoring.exact import Doubles, Floats, Indices, row_norms, to_float32
from mfserve_scoring.excluded import Excluded
from mfserve_scoring.topk import ExactTopK


class Neighbours:
    """Finds the nearest items of one factor matrix.

    cos(i, j) = q_i · q_j / (‖q_i‖ ‖q_j‖), computed in float64, and 0 where one of them is zero. No normalised copy of
    the factors is made: workers go on sharing the one that is memory-mapped.
    """

    def __init__(self, factors: Floats) -> None:
        self._factors = factors
        norms = row_norms(factors)
        self._inverse: Doubles = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
        self._top = ExactTopK(factors, scale=self._inverse)

    def of(self, item: int, limit: int) -> SimilarItems:
        """The ``limit`` nearest items of item number ``item``, itself left out."""
        itself: Indices = np.array([item], dtype=np.int32)
        top = self._top.search(self._factors[item : item + 1], limit, excluded=Excluded(itself))
        # Rounding can carry the cosine of parallel vectors past 1.
        cosines = (top.scores * self._inverse[item]).clip(-1.0, 1.0)
        return SimilarItems(top.indices, to_float32(cosines))
