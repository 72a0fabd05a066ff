"""Many small ridge regressions at once: the arithmetic that explicit and implicit ALS share."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

SOLVED_EXACTLY = 2_000_000
"""Up to so many ratings the engines solve each regression exactly; above, they improve the last sweep's solution.

With 4 million ratings and 64 factors an exact sweep takes three times the processor's time and gains little: the next
half-sweep moves the problem anyway. On small data a sweep is short, and there is no reason to be content with less.
See docs/adr/0009-conjugate-gradients.md."""

STEPS = 3
"""Conjugate-gradient steps of ``improve``. At that size, 2 need a third more sweeps, each a tenth shorter."""

_RELATIVE_FLOOR = 4 * float(np.finfo(np.float32).eps)


def solve(
    design: tf.Tensor, targets: tf.Tensor, penalty: tf.Tensor, shared_gram: tf.Tensor | float = 0.0
) -> tf.Tensor:
    """Solves (S + Σ_l a_l a_lᵀ + penalty · I) x = Σ_l a_l t_l for every row of a batch.

    A penalty so small that it would vanish beside the Gram matrix in float32 is raised to where the matrix stays
    positive definite; the change is below what float32 resolves.

    Args:
        design: float32 (B, L, d), the a_l; zero vectors where padded.
        targets: float32 (B, L), the t_l; any finite value where padded.
        penalty: float32 (B,), positive.
        shared_gram: float32 (d, d), S, positive semidefinite: the same for every row; 0 where there is none.

    Returns:
        float32 (B, d).
    """
    gram = tf.matmul(design, design, transpose_a=True) + shared_gram
    floor = _RELATIVE_FLOOR * tf.linalg.trace(gram)
    diagonal = tf.linalg.diag_part(gram) + tf.maximum(penalty, floor)[:, tf.newaxis]
    factor = tf.linalg.cholesky(tf.linalg.set_diag(gram, diagonal))
    moment = tf.matmul(design, targets[:, :, tf.newaxis], transpose_a=True)
    return tf.squeeze(tf.linalg.cholesky_solve(factor, moment), axis=-1)


def improve(
    design: tf.Tensor,
    targets: tf.Tensor,
    penalty: tf.Tensor,
    start: tf.Tensor,
    shared_gram: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Takes ``STEPS`` steps from ``start`` towards what ``solve`` gives, without ever forming a Gram matrix.

    Conjugate gradients (Hestenes and Stiefel 1952), as Takács, Pilászy and Tikk 2011, section 3, use them for
    implicit ALS: d times fewer operations a step than for the matrix, and no step raises the objective.

    Args:
        design, targets, penalty: as for ``solve``, but the targets zero where padded.
        start: float32 (B, d), such as the solution of the last sweep.
        shared_gram: float32 (d, d), S; None where there is none.

    Returns:
        x, float32 (B, d), and its ``residuals``, float32 (B, L), which the steps yield by the way.
    """

    # A row vector times a matrix: of all ways to say these two products, the quickest.
    def predicted(x: tf.Tensor) -> tf.Tensor:
        return tf.squeeze(tf.matmul(x[:, tf.newaxis, :], design, transpose_b=True), axis=1)

    def gathered(weights: tf.Tensor) -> tf.Tensor:
        return tf.squeeze(tf.matmul(weights[:, tf.newaxis, :], design), axis=1)

    def penalised(x: tf.Tensor) -> tf.Tensor:
        shrunk = penalty[:, tf.newaxis] * x
        return shrunk if shared_gram is None else shrunk + tf.matmul(x, shared_gram)

    x, residual = start, targets - predicted(start)
    gradient = gathered(residual) - penalised(x)
    direction, squared = gradient, _squares(gradient)
    for step in range(STEPS):
        along = predicted(direction)
        curvature = gathered(along) + penalised(direction)
        # Where nothing is left to improve, both are zero, and so is the step.
        length = tf.math.divide_no_nan(squared, tf.reduce_sum(direction * curvature, axis=1, keepdims=True))
        x += length * direction
        residual -= length * along
        if step + 1 < STEPS:
            gradient -= length * curvature
            before, squared = squared, _squares(gradient)
            direction = gradient + tf.math.divide_no_nan(squared, before) * direction
    return x, residual


def residuals(design: tf.Tensor, targets: tf.Tensor, solution: tf.Tensor) -> tf.Tensor:
    """float32 (B, L), t_l − a_l · x; zero where both design and target are."""
    return targets - tf.squeeze(tf.matmul(solution[:, tf.newaxis, :], design, transpose_b=True), axis=1)


def _squares(vectors: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.square(vectors), axis=1, keepdims=True)
