"""Many small ridge regressions at once: the arithmetic that explicit and implicit ALS share."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

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


def residuals(design: tf.Tensor, targets: tf.Tensor, solution: tf.Tensor) -> tf.Tensor:
    """float32 (B, L), t_l − a_l · x; zero where both design and target are."""
    return targets - tf.squeeze(tf.matmul(design, solution[:, :, tf.newaxis]), axis=-1)
