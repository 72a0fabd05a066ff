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
from mfserve_trainer.engines import ridge
from mfserve_trainer.engines.base import Fitted, ReportEpoch, require_finite
from mfserve_trainer.engines.histories import Histories, histories, squared_norms
from mfserve_trainer.engines.training_log import TrainingLog
from mfserve_trainer.engines.units import Units
from mfserve_trainer.ratings import Ratings

INITIAL_DEVIATION = 0.1
"""About the length of q_i at the start: each of its k entries has this standard deviation, divided by √k."""


def fit(
    ratings: Ratings, config: AlsConfig, *, seed: int, report: ReportEpoch, log_dir: Path | None
) -> Fitted[RatingHead]:
    """Trains the head; see ``engines.fit_rating``. An epoch solves all users, then all items."""
    n, users, items, k = len(ratings), len(ratings.user_ids), len(ratings.item_ids), config.factors
    units = Units.of(ratings)
    of_users, of_items = _both_sides(ratings, units, k)
    exact = n <= ridge.SOLVED_EXACTLY

    item_side = _initial_side(items, k, seed)
    user_side = tf.zeros((users + 1, k + 1))
    regularization = config.regularization
    with TrainingLog("rating", config.iterations, report, log_dir) as log:
        for _ in range(config.iterations):
            user_side, _ = half_sweep(of_users, item_side, regularization, None if exact else user_side)
            item_side, squared_error = half_sweep(
                of_items, user_side, regularization, None if exact else item_side
            )
            penalty = regularization * (
                weighted_square(user_side, of_users) + weighted_square(item_side, of_items)
            )
            per_rating = units.deviation**2 / n
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
    of_rows: Histories, other_side: tf.Tensor, regularization: float, start: tf.Tensor | None = None
) -> tuple[tf.Tensor, float]:
    """Solves (Σ a aᵀ + λ n_u I) [p_u; b_u] = Σ a (r − μ − c_i), a = [q_i; 1], for every row u of one side.

    Args:
        of_rows: the histories of the side to solve, holding r − μ.
        other_side: float32 (others + 1, k + 1), its rows [q_i; c_i], the last one zero ("nobody").
        regularization: λ.
        start: float32 (rows + 1, k + 1), the side so far, which is then improved only; None solves exactly.

    Returns:
        The side, float32 (rows + 1, k + 1), rows [p_u; b_u] and a zero last one; and Σ of the squared residuals.
    """
    one = tf.pad(tf.ones_like(other_side[:-1, :1]), [[0, 1], [0, 0]])
    design_table = tf.concat([other_side[:, :-1], one], axis=1)
    bias_table = other_side[:, -1]
    penalty = tf.constant(regularization, tf.float32)
    solved = []
    for batch in of_rows.batches:
        problem = (design_table, bias_table, penalty, batch.others, batch.values, batch.counts)
        solved.append(
            _solve_batch(*problem) if start is None else _improve_batch(*problem, start, batch.rows)
        )
    return of_rows.assemble(x for x, _ in solved), float(tf.add_n([squared for _, squared in solved]))


def weighted_square(side: tf.Tensor, of_rows: Histories) -> float:
    """Σ_u n_u (‖p_u‖² + b_u²)."""
    return float(squared_norms(side) @ of_rows.counts)


def _both_sides(ratings: Ratings, units: Units, k: int) -> tuple[Histories, Histories]:
    """The histories of users and of items, in standard units; what they were made of is not kept."""
    users, items = len(ratings.user_ids), len(ratings.item_ids)
    standard = units.standard(ratings.rating)
    return (
        histories(ratings.user_index, ratings.item_index, standard, users, items, width=k + 1),
        histories(ratings.item_index, ratings.user_index, standard, items, users, width=k + 1),
    )


def _solve(
    design_table: tf.Tensor,
    bias_table: tf.Tensor,
    penalty: tf.Tensor,
    others: tf.Tensor,
    centred: tf.Tensor,
    counts: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    design = tf.gather(design_table, others)
    target = centred - tf.gather(bias_table, others)
    x = ridge.solve(design, target, penalty * counts)
    return x, tf.reduce_sum(tf.square(ridge.residuals(design, target, x)))


def _improve(
    design_table: tf.Tensor,
    bias_table: tf.Tensor,
    penalty: tf.Tensor,
    others: tf.Tensor,
    centred: tf.Tensor,
    counts: tf.Tensor,
    start: tf.Tensor,
    rows: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    design = tf.gather(design_table, others)
    target = centred - tf.gather(bias_table, others)
    x, residuals = ridge.improve(design, target, penalty * counts, tf.gather(start, rows))
    return x, tf.reduce_sum(tf.square(residuals))


_PROBLEM = [
    tf.TensorSpec([None, None], tf.float32),
    tf.TensorSpec([None], tf.float32),
    tf.TensorSpec([], tf.float32),
    tf.TensorSpec([None, None], tf.int32),
    tf.TensorSpec([None, None], tf.float32),
    tf.TensorSpec([None], tf.float32),
]
_solve_batch = tf.function(_solve, input_signature=_PROBLEM)
_improve_batch = tf.function(
    _improve,
    input_signature=[*_PROBLEM, tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None], tf.int32)],
)


def _initial_side(size: int, k: int, seed: int) -> tf.Tensor:
    """float32 (size + 1, k + 1): small random factors, no biases, and nobody."""
    factors = np.random.default_rng(seed).normal(0.0, INITIAL_DEVIATION / np.sqrt(k), (size, k))
    return tf.constant(np.pad(factors, ((0, 1), (0, 1))), tf.float32)


def _members(side: tf.Tensor) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Factors (size, k) and biases (size,) without nobody's row."""
    table = side.numpy()
    return np.ascontiguousarray(table[:-1, :-1]), np.ascontiguousarray(table[:-1, -1])
