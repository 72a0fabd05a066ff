"""How far a float32 score can be from the float64 score that decides.

Higham, *Accuracy and Stability of Numerical Algorithms*, 2nd ed. (2002), section 3.1: whatever the order of the
summation, and with or without fused multiply-add, a computed inner product of n terms satisfies

    |fl(x·y) − x·y| ≤ γ_n |x|·|y|,    γ_n = n u / (1 − n u),

u = 2⁻²⁴ being float32's unit roundoff. |x|·|y| ≤ ‖x‖ ‖y‖ (Cauchy-Schwarz). Added to that here:

- three roundings more: of the scale, of the product with it, and of the sum with the bias. Hence n = k + 3;
- underflow, which Higham's model leaves out: each of 2(k + 1) results may be off by the smallest normal number
  2⁻¹²⁶ (it may be flushed to zero), and the scale enlarges that;
- the float64 side's own error, γ_(k+4) with u = 2⁻⁵³: less than a factor of 1.0001 on the first term, and a term for
  the user's offset, which float32 never sees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mfserve_scoring.exact import Doubles, Floats

_UNIT_32 = 2.0**-24
_UNIT_64 = 2.0**-53
_TINY_32 = 2.0**-126
_LARGEST_32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True, slots=True)
class Margin:
    """Bounds for one item matrix.

    Attributes:
        norm: largest ‖q_i‖.
        scaled_norm: largest scale_i ‖q_i‖.
        bias: largest |bias_i|.
        relative: γ_(k+3), times 1.0001.
        underflow: absolute part, for a user that is not zero; inf where float32 cannot hold a scale.
        offset: relative part for the user's offset.
    """

    norm: float
    scaled_norm: float
    bias: float
    relative: float
    underflow: float
    offset: float

    @classmethod
    def of(cls, norms: Doubles, *, factors: int, bias: Floats | None, scale: Doubles | None) -> Margin:
        terms = factors + 3
        largest_scale = 1.0 if scale is None else max(1.0, float(scale.max()))
        return cls(
            norm=float(norms.max()),
            scaled_norm=float((norms if scale is None else norms * scale).max()),
            bias=0.0 if bias is None else float(np.abs(bias).max()),
            relative=1.0001 * terms * _UNIT_32 / (1 - terms * _UNIT_32),
            underflow=2 * (factors + 1) * _TINY_32 * largest_scale
            if largest_scale <= _LARGEST_32
            else np.inf,
            offset=2 * (factors + 8) * _UNIT_64,
        )

    def of_users(self, users: Doubles, offsets: Doubles | None) -> tuple[Doubles, Doubles]:
        """For each user ‖u‖, and the most by which a float32 score of any item can be off; inf where it can overflow.

        Args:
            users: float64 (rows, k), float32 numbers.
            offsets: float64 (rows,), or None.
        """
        norms = np.sqrt(np.vecdot(users, users))
        largest = norms * self.scaled_norm + self.bias
        margins = self.relative * largest + np.where(norms > 0, self.underflow, 0.0)
        if offsets is not None:
            margins += self.offset * np.abs(offsets)
        margins[np.maximum(norms * self.norm, largest) > _LARGEST_32 / 2] = np.inf
        return norms, margins

    def of_user(self, user: Doubles, offset: float) -> tuple[float, float]:
        """The same for one user, float32 numbers as float64 (k,), without numpy's cost for arrays of one entry."""
        norm = math.sqrt(user.dot(user))
        largest = norm * self.scaled_norm + self.bias
        if max(norm * self.norm, largest) > _LARGEST_32 / 2:
            return norm, math.inf
        underflow = self.underflow if norm > 0 else 0.0
        return norm, self.relative * largest + underflow + self.offset * abs(offset)
