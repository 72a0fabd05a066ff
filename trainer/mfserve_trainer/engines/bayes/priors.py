"""The conditionals of what the rows of a side have in common: their mean, their spread, what their features weigh."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.stats import wishart

from mfserve_scoring.exact import Doubles, Floats


@dataclass(frozen=True, slots=True)
class Prior:
    """x_u ~ N(m + Wᵀ f_u, Λ⁻¹) for every row u of a side, f_u being its features.

    Attributes:
        mean: float64 (d,), m.
        precision: float64 (d, d), Λ.
        weights: float64 (R, d), W; each of its rows ~ N(0, (λ Λ)⁻¹).
        scale: λ.
    """

    mean: Doubles
    precision: Doubles
    weights: Doubles
    scale: float

    @classmethod
    def initial(cls, d: int, features: int) -> Self:
        """Where a chain starts: N(0, 1), features without weight."""
        return cls(np.zeros(d), np.eye(d), np.zeros((features, d)), 1.0)

    def row_means(self, features: Floats) -> Floats:
        """float32 (rows, d), m + Wᵀ f_u."""
        means: Floats = features @ self.weights.astype(np.float32) + self.mean.astype(np.float32)
        return means


def draw_prior(rows: Floats, features: Floats, last: Prior, random: np.random.Generator) -> Prior:
    """Draws (m, Λ) given the rest, then W, then λ.

    (m, Λ) has the Normal-Wishart prior of Salakhutdinov and Mnih 2008 (section 3.1, with β₀ = 1, ν₀ = d, W₀ = I, μ₀ =
    0).
    W is the link matrix of Macau (Simm et al. 2017, "Macau: scalable Bayesian factorization with high-dimensional side
    information using MCMC", section 2). Its rows are independent given the others, because the features' columns are
    orthogonal.

    Args:
        rows: float32 (n, d), the side.
        features: float32 (n, R), columns orthogonal; R may be 0.
        last: the draw before.
        random: the generator.
    """
    n, d = rows.shape
    residual = rows - features @ last.weights.astype(np.float32)
    average = residual.mean(axis=0, dtype=np.float64)
    centred = residual - average.astype(np.float32)
    scatter = np.eye(d) + centred.T @ centred + n / (1 + n) * np.outer(average, average)
    scatter += last.scale * last.weights.T @ last.weights
    freedom = d + n + len(last.weights)
    precision = np.atleast_2d(wishart.rvs(freedom, np.linalg.inv(scatter), random_state=random))
    root = np.linalg.inv(np.linalg.cholesky(precision))  # rootᵀ root = Λ⁻¹
    mean = n / (1 + n) * average + random.standard_normal(d) @ root / np.sqrt(1 + n)

    strength = np.square(features, dtype=np.float64).sum(axis=0)[:, np.newaxis] + last.scale
    moment = (features.T @ (rows - mean.astype(np.float32))).astype(np.float64)
    weights = moment / strength + random.standard_normal(moment.shape) @ root / np.sqrt(strength)
    size = float(np.sum((weights @ precision) * weights))
    scale = random.gamma(1 + weights.size / 2, 1 / (1 + size / 2))
    return Prior(mean, precision, weights, scale)
