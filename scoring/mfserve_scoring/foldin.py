"""Fold-in: the factors of a user whom the model never saw, by one ridge solve with the items fixed.

It is the user's half-step of the alternating least squares that trained the head, with the same penalty: where the
training has converged, folding in a trained user's full history gives that user's own factors again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mfserve_registry.snapshot.content import RankingHead, RatingHead
from mfserve_registry.spec import RatingScale
from mfserve_scoring.exact import BLOCK, Doubles, Floats, Indices, to_float32


@dataclass(frozen=True, slots=True)
class FoldedRating:
    """A user in the rating head: float32 (k,) factors, and the bias."""

    factors: Floats
    bias: float


class RatingFoldIn:
    """Solves (Σ a aᵀ + λ n I) x = Σ a (r − μ − c_i) over the n rated items.

    With a head that folds the bias a = [q_i; 1] and x = [p; b], the bias bearing the same penalty; else
    a = q_i, x = p and b = 0. With a posterior x has a prior, N(m, Λ⁻¹) in units of the noise, and it is
    (Σ a aᵀ + Λ) x = Σ a (r − μ − c_i) + Λ m.
    """

    def __init__(self, head: RatingHead) -> None:
        self._head = head

    def solve(self, items: Indices, ratings: Doubles) -> FoldedRating:
        """Folds in a user who gave ``ratings`` (float64 (n,), n at least 1) to ``items`` (distinct)."""
        head = self._head
        rows = head.item_factors[items].astype(np.float64)
        if head.folds_bias:
            rows = np.column_stack((rows, np.ones(len(rows))))
        rest = ratings - head.intercept - head.item_biases[items]
        normal, right = rows.T @ rows, rows.T @ rest
        if head.posterior is not None:
            precision = head.posterior.prior_precision.astype(np.float64)
            normal, right = normal + precision, right + precision @ head.posterior.prior_mean
        solution = _solve(normal, right, head.regularization * len(items))
        if head.folds_bias:
            return FoldedRating(to_float32(solution[:-1]), float(solution[-1]))
        return FoldedRating(to_float32(solution), 0.0)


class RankingFoldIn:
    """Solves (Σ q qᵀ + α₀ QᵀQ + λ (n + α₀ N)^ν I) p = Σ t(r) q over the n rated of N items.

    Rendle et al. 2021, "Revisiting the Performance of iALS on Item Recommendation Benchmarks" (arXiv:2110.14037),
    section 3.2, with an observed pair's weight 1 and mfserve's graded target t(r) in place of 1. Without a scale there
    are no ratings: every pair has the highest target, as in the training.
    """

    def __init__(self, head: RankingHead, scale: RatingScale | None) -> None:
        self._head = head
        self._points = None if scale is None else np.linspace(scale.minimum, scale.maximum, len(head.targets))

    def solve(self, items: Indices, ratings: Doubles) -> Floats:
        """Float32 (k,) factors of a user who gave ``ratings`` (float64 (n,)) to ``items`` (distinct)."""
        head = self._head
        rows = head.item_factors[items].astype(np.float64)
        if self._points is None:
            targets = np.full(len(items), head.targets[-1])
        else:
            targets = np.interp(ratings, self._points, head.targets)
        frequency = len(items) + head.unobserved_weight * len(head.item_factors)
        penalty = head.regularization * frequency**head.frequency_exponent
        return to_float32(_solve(rows.T @ rows + self._everything, rows.T @ targets, penalty))

    @cached_property
    def _everything(self) -> Doubles:
        """α₀ QᵀQ: the same for every user, made at the first fold-in, block by block to spare memory."""
        return self._head.unobserved_weight * gram(self._head.item_factors)


def gram(matrix: Floats) -> Doubles:
    """MᵀM in float64, without a float64 copy of all of M."""
    total = np.zeros((matrix.shape[1], matrix.shape[1]))
    for start in range(0, len(matrix), BLOCK):
        rows = matrix[start : start + BLOCK].astype(np.float64)
        total += rows.T @ rows
    return total


def _solve(normal: Doubles, right: Doubles, penalty: float) -> Doubles:
    """The solution of (normal + penalty I) x = right; of several (penalty 0, few ratings) the shortest."""
    system = normal + penalty * np.eye(len(normal))
    if penalty > 0:
        try:
            solution = np.linalg.solve(system, right)
        except np.linalg.LinAlgError:  # the penalty vanished beside the factors' own size
            pass
        else:
            if np.isfinite(solution).all():
                return solution.astype(np.float64, copy=False)
    return np.linalg.lstsq(system, right)[0].astype(np.float64, copy=False)
