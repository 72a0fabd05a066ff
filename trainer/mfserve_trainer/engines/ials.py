"""Engine ``ials``: implicit alternating least squares on graded targets.

Minimises Σ_observed (p_u · q_i − t_ui)² + α₀ Σ_all (p_u · q_i)²
        + λ (Σ_u (n_u + α₀ I)^ν ‖p_u‖² + Σ_i (n_i + α₀ U)^ν ‖q_i‖²),
U and I being the numbers of users and items (Rendle, Krichene, Zhang, Koren 2021, arXiv:2110.14037, section 3).
There every observed target is 1; here it grows with the rating, so that what was seen and disliked ranks low.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import RankingHead
from mfserve_registry.spec import IalsConfig, RatingScale
from mfserve_trainer.engines.base import Fitted, ReportEpoch, require_finite
from mfserve_trainer.engines.histories import Histories, both_sides, squared_norms
from mfserve_trainer.engines.sweeps import Given, initial_side, solve_rows
from mfserve_trainer.engines.training_log import TrainingLog
from mfserve_trainer.ratings import Ratings

TARGETS = (0.1, 0.25, 0.5, 0.8, 1.0)
"""Targets at equally spaced points of the rating scale, chosen on validation parts of MovieLens 100K.

An item that was chosen and then disliked says more than one never chosen: the lowest target is above 0."""

SMALL = 500.0
"""The least g of ``for_size``: MovieLens 100K has 560, and 540 without a fifth of its ratings."""


def fit(
    ratings: Ratings, config: IalsConfig, *, seed: int, report: ReportEpoch, log_dir: Path | None
) -> Fitted[RankingHead]:
    """Trains the head; see ``engines.fit_ranking``. An epoch solves all users, then all items."""
    users, items, k = len(ratings.user_ids), len(ratings.item_ids), config.factors
    config = for_size(config, len(ratings), users, items)
    of_users, of_items = both_sides(ratings, graded(ratings.rating, ratings.scale), width=k)
    item_side = initial_side(items, k, seed, width=k)
    user_side = tf.zeros((users + 1, k))
    with TrainingLog("ranking", config.iterations, report, log_dir) as log:
        for _ in range(config.iterations):
            user_side, _ = half_sweep(of_users, item_side, config, user_side)
            item_side, squared_error = half_sweep(of_items, user_side, config, item_side)
            everywhere = config.unobserved_weight * _dot(gram(user_side), gram(item_side))
            penalty = penalty_term(user_side, of_users, items, config) + penalty_term(
                item_side, of_items, users, config
            )
            log.epoch(
                {
                    "loss": (squared_error + everywhere + penalty) / len(ratings),
                    "mse": squared_error / len(ratings),
                },
                partial(_head, user_side, item_side, config),
            )

    return Fitted(_head(user_side, item_side, config), log.artifacts())


def _head(user_side: tf.Tensor, item_side: tf.Tensor, config: IalsConfig) -> RankingHead:
    user_factors, item_factors = user_side.numpy()[:-1], item_side.numpy()[:-1]
    require_finite("ials", user_factors, item_factors)
    return RankingHead(
        user_factors=user_factors,
        item_factors=item_factors,
        regularization=config.regularization,
        unobserved_weight=config.unobserved_weight,
        frequency_exponent=config.frequency_exponent,
        targets=TARGETS,
    )


def graded(rating: NDArray[np.float32], scale: RatingScale) -> NDArray[np.float32]:
    """float32 (n,), the target of each rating: ``TARGETS`` interpolated over the scale."""
    points = np.linspace(scale.minimum, scale.maximum, len(TARGETS))
    return np.interp(rating, points, TARGETS).astype(np.float32)


def for_size(config: IalsConfig, ratings: int, users: int, items: int) -> IalsConfig:
    """The configuration with the objective's λ; in what a caller says, λ is the penalty of an average row.

    So a row's penalty is λ ((n + α₀ N) / g)^ν with g = (R + α₀ U I) / √(U I), the geometric mean of what n + α₀ N is
    for an average user and for an average item. Scaling P up and Q down leaves all scores as they are, so that the
    product of both sides' penalties is what counts, and that is λ² whatever the catalogue's size: the λ that suits
    MovieLens 100K suits latest-small, of six times the items. On small data g is ``SMALL``, and the penalty less: it
    would be stronger than all that a few dozen ratings can say, and the factors would be zero.

    Args:
        config: as the caller gave it.
        ratings, users, items: R, U and I.
    """
    size = float((ratings + config.unobserved_weight * users * items) / np.sqrt(users * items))
    scaled = config.regularization / max(size, SMALL) ** config.frequency_exponent
    return config.model_copy(update={"regularization": scaled})


def half_sweep(
    of_rows: Histories, other_side: tf.Tensor, config: IalsConfig, last: tf.Tensor | None = None
) -> tuple[tf.Tensor, float]:
    """Solves (Σ_observed q qᵀ + α₀ QᵀQ + λ (n_u + α₀ I)^ν · 1) p_u = Σ_observed t q for every row u of one side.

    Σ over *all* pairs costs nothing per row, because α₀ QᵀQ is the same for each (the Gram trick).

    Args:
        of_rows: the histories of the side to solve, holding the targets.
        other_side: float32 (others + 1, k), Q, the last row zero ("nobody").
        config: λ, α₀ and ν.
        last: float32 (rows + 1, k), the side so far; see ``sweeps.solve_rows``.

    Returns:
        The side, float32 (rows + 1, k), its last row zero; and Σ_observed of the squared residuals.
    """
    given = Given(
        design=other_side,
        offsets=tf.zeros(other_side.shape[0]),
        shared_gram=config.unobserved_weight * gram(other_side),
    )
    others = other_side.shape[0] - 1
    return solve_rows(of_rows, given, lambda counts: scaled_penalty(counts, others, config), last)


def scaled_penalty(counts: tf.Tensor, others: int, config: IalsConfig) -> tf.Tensor:
    """float32 like ``counts``, λ (n + α₀ N)^ν, N being the size of the other side."""
    return config.regularization * (counts + config.unobserved_weight * others) ** config.frequency_exponent


def gram(side: tf.Tensor) -> tf.Tensor:
    """QᵀQ, float32 (k, k)."""
    return tf.matmul(side, side, transpose_a=True)


def penalty_term(side: tf.Tensor, of_rows: Histories, others: int, config: IalsConfig) -> float:
    """λ Σ_u (n_u + α₀ I)^ν ‖p_u‖²."""
    return float(squared_norms(side) @ np.asarray(scaled_penalty(of_rows.counts, others, config)))


def _dot(left: tf.Tensor, right: tf.Tensor) -> float:
    return float(tf.reduce_sum(left * right))
