"""The conditional of all rows of one side, given the other: where most of the time goes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mfserve_scoring.exact import Floats
from mfserve_trainer.engines.bayes.pieces import Pieces


class Rows(NamedTuple):
    """One draw of a side.

    Attributes:
        draw: float32 (rows, d), x_u = [p_u; b_u].
        mean: float32 (rows, d), mean of the conditional that it was drawn from.
        error: float32 (rows,), Σ_i τ_i (r_ui − μ − x_u · a_i − c_i)² over the row's ratings, at the draw.
    """

    draw: Floats
    mean: Floats
    error: Floats


def draw_rows(
    of_rows: Pieces,
    other_side: Floats,
    *,
    other_precision: Floats,
    row_precision: Floats,
    prior_mean: Floats,
    prior_precision: NDArray[np.float64],
    noise: Floats,
) -> Rows:
    """Draws x_u ~ N(P⁻¹ (ω_u Σ_i τ_i a_i t_ui + Λ m_u), P⁻¹), P = Λ + ω_u Σ_i τ_i a_i a_iᵀ, for every row u.

    a_i = [q_i; 1] and t_ui = r_ui − μ − c_i: Salakhutdinov and Mnih 2008 ("Bayesian probabilistic matrix factorization
    using Markov chain Monte Carlo"), section 3.3, equations 11 to 13, with the bias as one more unknown, and the
    precision of a rating's noise ω_u τ_i.

    Args:
        of_rows: histories of the side to draw, holding r − μ.
        other_side: float32 (others, d), rows [q_i; c_i].
        other_precision: float32 (others,), τ.
        row_precision: float32 (rows,), ω.
        prior_mean: float32 (rows, d), m_u.
        prior_precision: (d, d), Λ.
        noise: float32 (rows, d), standard normal.
    """
    precision = prior_precision.astype(np.float32)
    drawn = [
        _draw(
            block.others,
            block.values,
            block.row,
            other_side,
            other_precision,
            row_precision[block.rows],
            prior_mean[block.rows],
            precision,
            noise[block.rows],
        )
        for block in of_rows.blocks
    ]
    return Rows(*(np.concatenate(parts) for parts in zip(*drawn, strict=True)))


def _draw_all(
    others: tf.Tensor,
    values: tf.Tensor,
    row: tf.Tensor,
    other_side: tf.Tensor,
    other_precision: tf.Tensor,
    row_precision: tf.Tensor,
    prior_mean: tf.Tensor,
    prior_precision: tf.Tensor,
    noise: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    # All that belongs to one of the other side in one row, times √τ, so that sums of products are weighted by τ.
    root = tf.sqrt(other_precision)[:, tf.newaxis]
    table = tf.concat([other_side[:, :-1] * root, root, other_side[:, -1:] * root], axis=1)
    gathered = tf.gather(tf.pad(table, [[0, 1], [0, 0]]), others)
    design, bias = gathered[:, :, :-1], gathered[:, :, -1:]
    target = values[:, :, tf.newaxis] * design[:, :, -1:] - bias

    # [Σ τ a aᵀ, Σ τ a t; ·, Σ τ t²] of every piece, then of every row.
    augmented = tf.concat([design, target], axis=2)
    sums = tf.math.segment_sum(tf.matmul(augmented, augmented, transpose_a=True), row)
    gram, moment, square = sums[:, :-1, :-1], sums[:, :-1, -1], sums[:, -1, -1]

    weight = row_precision[:, tf.newaxis]
    factor = tf.linalg.cholesky(prior_precision + weight[:, :, tf.newaxis] * gram)
    right = weight * moment + tf.matmul(prior_mean, prior_precision)
    forward = tf.linalg.triangular_solve(factor, right[:, :, tf.newaxis])
    # L⁻ᵀ y is the mean and L⁻ᵀ (y + ε) the draw: one solve for both.
    both = tf.linalg.triangular_solve(
        factor, tf.concat([forward, forward + noise[:, :, tf.newaxis]], axis=2), adjoint=True
    )
    mean, draw = both[:, :, 0], both[:, :, 1]
    error = square + tf.reduce_sum(draw * (tf.linalg.matvec(gram, draw) - 2 * moment), axis=1)
    return draw, mean, tf.maximum(error, 0.0)


_draw = tf.function(
    _draw_all,
    input_signature=[
        tf.TensorSpec([None, None], tf.int32),
        tf.TensorSpec([None, None], tf.float32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([None, None], tf.float32),
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([None], tf.float32),
        tf.TensorSpec([None, None], tf.float32),
        tf.TensorSpec([None, None], tf.float32),
        tf.TensorSpec([None, None], tf.float32),
    ],
)
