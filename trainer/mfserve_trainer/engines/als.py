"""Engine ``als``: explicit alternating least squares with the biases inside each solve.

Minimises Σ (r − μ − b_u − c_i − p_u · q_i)² + λ Σ_u n_u (‖p_u‖² + b_u²) + λ Σ_i n_i (‖q_i‖² + c_i²), n being
counts of ratings (the weighting of Zhou et al. 2008, section 3.2), r in units of the ratings' standard deviation. Each
half-sweep solves one side while the other is fixed: exactly up to ``ridge.SOLVED_EXACTLY`` ratings, above by a few
steps of conjugate gradients from where it was. Neither raises the objective but for rounding.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import RatingHead
from mfserve_registry.spec import AlsConfig
from mfserve_trainer.engines.base import Fitted, ReportEpoch, require_finite
from mfserve_trainer.engines.histories import Histories, both_sides, squared_norms
from mfserve_trainer.engines.sweeps import Given, initial_side, solve_rows
from mfserve_trainer.engines.training_log import TrainingLog
from mfserve_trainer.engines.units import Units
from mfserve_trainer.ratings import Ratings


def fit(
    ratings: Ratings, config: AlsConfig, *, seed: int, report: ReportEpoch, log_dir: Path | None
) -> Fitted[RatingHead]:
    """Trains the head; see ``engines.fit_rating``. An epoch solves all users, then all items."""
    units, width, regularization = Units.of(ratings), config.factors + 1, config.regularization
    of_users, of_items = both_sides(ratings, units.standard(ratings.rating), width=width)
    item_side = initial_side(len(ratings.item_ids), config.factors, seed, width=width)
    user_side = tf.zeros((len(ratings.user_ids) + 1, width))
    per_rating = units.deviation**2 / len(ratings)
    with TrainingLog("rating", config.iterations, report, log_dir) as log:
        for _ in range(config.iterations):
            user_side, _ = half_sweep(of_users, item_side, regularization, user_side)
            item_side, squared_error = half_sweep(of_items, user_side, regularization, item_side)
            penalty = regularization * (
                weighted_square(user_side, of_users) + weighted_square(item_side, of_items)
            )
            log.epoch(
                {"loss": (squared_error + penalty) * per_rating, "mse": squared_error * per_rating},
                partial(_head, user_side, item_side, units, config),
            )

    return Fitted(_head(user_side, item_side, units, config), log.artifacts())


def _head(user_side: tf.Tensor, item_side: tf.Tensor, units: Units, config: AlsConfig) -> RatingHead:
    user_factors, user_biases = _members(user_side)
    item_factors, item_biases = _members(item_side)
    head = RatingHead(
        intercept=0.0,
        user_biases=user_biases,
        item_biases=item_biases,
        user_factors=user_factors,
        item_factors=item_factors,
        regularization=config.regularization,
        folds_bias=True,
    )
    head = units.original(head)
    require_finite("als", head.user_factors, head.user_biases, head.item_factors, head.item_biases)
    return head


def half_sweep(
    of_rows: Histories, other_side: tf.Tensor, regularization: float, last: tf.Tensor | None = None
) -> tuple[tf.Tensor, float]:
    """Solves (Σ a aᵀ + λ n_u I) [p_u; b_u] = Σ a (r − μ − c_i), a = [q_i; 1], for every row u of one side.

    Args:
        of_rows: the histories of the side to solve, holding r − μ.
        other_side: float32 (others + 1, k + 1), its rows [q_i; c_i], the last one zero ("nobody").
        regularization: λ.
        last: float32 (rows + 1, k + 1), the side so far; see ``sweeps.solve_rows``.

    Returns:
        The side, float32 (rows + 1, k + 1), rows [p_u; b_u] and a zero last one; and Σ of the squared residuals.
    """
    one = tf.pad(tf.ones_like(other_side[:-1, :1]), [[0, 1], [0, 0]])
    width = other_side.shape[1]
    given = Given(
        design=tf.concat([other_side[:, :-1], one], axis=1),
        offsets=other_side[:, -1],
        shared_gram=tf.zeros((width, width)),
    )
    return solve_rows(of_rows, given, lambda counts: regularization * counts, last)


def weighted_square(side: tf.Tensor, of_rows: Histories) -> float:
    """Σ_u n_u (‖p_u‖² + b_u²)."""
    return float(squared_norms(side) @ of_rows.counts)


def _members(side: tf.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factors (size, k) and biases (size,) without nobody's row."""
    table = side.numpy()
    return np.ascontiguousarray(table[:-1, :-1]), np.ascontiguousarray(table[:-1, -1])
