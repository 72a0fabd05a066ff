"""The conditional of the ratings' noise, of which some users have more than others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfserve_scoring.exact import Floats

LEAST_VARIANCE = 1e-6
"""Of the noise, in standard units: below it a residual, a difference of float32 numbers, is rounding."""

PRIOR_STRENGTH = 8.0
"""ν: a user's own precision is drawn as if eight residuals of average size had been seen already."""


@dataclass(frozen=True, slots=True)
class Noise:
    """A rating of user u has noise of variance 1 / (β τ_u).

    Attributes:
        overall: β.
        of_user: float32 (users,), τ, around 1.
    """

    overall: float
    of_user: Floats

    @property
    def precision(self) -> Floats:
        """float32 (users,), β τ_u."""
        precision: Floats = np.float32(self.overall) * self.of_user
        return precision

    def loss(self, errors: Floats, counts: NDArray[np.int64]) -> float:
        """Mean of −log N(residual; 0, 1 / (β τ_u)); arguments as for ``draw_noise``."""
        precision = self.precision.astype(np.float64)
        total = precision @ errors + counts @ np.log(2 * np.pi / precision)
        return float(total / 2 / counts.sum())


def draw_noise(errors: Floats, counts: NDArray[np.int64], last: Noise, random: np.random.Generator) -> Noise:
    """Draws τ_u ~ Gamma((ν + n_u)/2, rate (ν + β e_u)/2), then β ~ Gamma(1 + n/2, rate 1 + Σ τ_u e_u / 2).

    A user's precision mixes scales, so that the ratings of one who rates erratically bend nobody's factors
    (Lakshminarayanan, Bouchard, Archambeau 2011, "Robust Bayesian matrix factorisation", section 2; theirs is per user
    and per item, but on MovieLens the users' alone predicted better).

    Args:
        errors: float32 (users,), e_u, Σ of the squared residuals of each user.
        counts: int64 (users,), n_u.
        last: the draw before.
        random: the generator.
    """
    seen = np.maximum(errors, LEAST_VARIANCE * counts)
    of_user = random.gamma((PRIOR_STRENGTH + counts) / 2, 2 / (PRIOR_STRENGTH + last.overall * seen))
    total = float(of_user @ seen)
    overall = random.gamma(1 + counts.sum() / 2, 1 / (1 + total / 2))
    return Noise(overall, of_user.astype(np.float32))
