"""Chooses the fold-in penalty for a network that was trained without one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mfserve_trainer.ratings import Ratings

CANDIDATES = tuple(0.001 * 2.0**step for step in range(13))
"""λ of the ridge solve, whose penalty is λ·n."""
SAMPLE = 300
"""Users asked at most."""
UNDECIDED = 0.1
"""λ where no user has two ratings."""


def choose_regularization(
    ratings: Ratings,
    item_factors: NDArray[np.float32],
    item_biases: NDArray[np.float32],
    intercept: float,
    folds_bias: bool,
) -> float:
    """The candidate λ under which folding users in from half of their ratings best predicts the other half.

    Gradient descent from small weights for so many epochs has no λ that would carry over to a ridge solve, and
    without any, a history shorter than k is interpolated and predicts wildly. So the question that fold-in will be
    asked is asked here, of the training rows alone: users in a fixed random order, their rows split at random.

    Args:
        ratings: what the network was trained on.
        item_factors: float32 (items, k).
        item_biases: float32 (items,).
        intercept: the network's constant.
        folds_bias: whether fold-in solves for the user's bias too.
    """
    random = np.random.default_rng(0)
    order = random.permutation(len(ratings))
    by_user = order[np.argsort(ratings.user_index[order], kind="stable")]
    ends = np.cumsum(np.bincount(ratings.user_index))
    eligible = np.flatnonzero(np.diff(ends, prepend=0) >= 2)
    if len(eligible) == 0:
        return UNDECIDED

    factors = item_factors.astype(np.float64)
    design_table = np.column_stack([factors, np.ones(len(factors))]) if folds_bias else factors
    squared_errors = np.zeros(len(CANDIDATES))
    for user in random.permutation(eligible)[:SAMPLE]:
        rows = by_user[ends[user - 1] if user else 0 : ends[user]]
        items = ratings.item_index[rows]
        design = design_table[items]
        target = ratings.rating[rows].astype(np.float64) - intercept - item_biases[items]
        half = (len(rows) + 1) // 2
        solutions = _ridge_path(design[:half], target[:half])
        squared_errors += np.square(target[half:, None] - design[half:] @ solutions).sum(axis=0)
    return CANDIDATES[int(np.argmin(squared_errors))]


def _ridge_path(design: NDArray[np.float64], target: NDArray[np.float64]) -> NDArray[np.float64]:
    """(d, candidates), argmin ‖A x − t‖² + λ n ‖x‖² for every λ, by one singular value decomposition."""
    left, singular, right = np.linalg.svd(design, full_matrices=False)
    penalties = np.array(CANDIDATES) * len(target)
    shrunk = singular[:, None] / (np.square(singular)[:, None] + penalties)
    solutions: NDArray[np.float64] = right.T @ (shrunk * (left.T @ target)[:, None])
    return solutions
