"""A half-sweep of alternating least squares: all rows of one side given the other, explicit and implicit alike.

A row's regression is the same in both: each rating pulls a_i · x towards its value less an offset, every pair pulls it
towards 0 by a Gram matrix that all rows share, and a penalty draws x to the origin. The engines say what a, offsets,
Gram matrix and penalty are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from mfserve_trainer.engines import ridge
from mfserve_trainer.engines.histories import Histories

INITIAL_DEVIATION = 0.1
"""About the length of a row's factors at the start: each of the k has this standard deviation, divided by √k (Rendle et
al. 2021, arXiv:2110.14037, section 4.3)."""


@dataclass(frozen=True, slots=True)
class Given:
    """The other side, as the regressions see it.

    Attributes:
        design: float32 (others + 1, d), a_i; the last row is zero ("nobody").
        offsets: float32 (others + 1,), what a rating has of the other side alone.
        shared_gram: float32 (d, d), positive semidefinite.
    """

    design: tf.Tensor
    offsets: tf.Tensor
    shared_gram: tf.Tensor


def solve_rows(
    of_rows: Histories,
    given: Given,
    penalty: Callable[[tf.Tensor], tf.Tensor],
    last: tf.Tensor | None,
) -> tuple[tf.Tensor, float]:
    """Solves (S + Σ a aᵀ + penalty(n) I) x = Σ a (value − offset) for every row of a side.

    Args:
        of_rows: the histories of the side to solve.
        given: the other side.
        penalty: float32 (B,) of float32 (B,), of numbers of ratings.
        last: float32 (rows + 1, d), the side so far: over ``ridge.SOLVED_EXACTLY`` ratings it is improved only. None
            solves exactly in any case.

    Returns:
        The side, float32 (rows + 1, d), its last row zero; and Σ of the squared residuals.
    """
    improved = None if of_rows.counts.sum() <= ridge.SOLVED_EXACTLY else last
    solved = []
    for batch in of_rows.batches:
        problem = (
            given.design,
            given.offsets,
            given.shared_gram,
            penalty(batch.counts),
            batch.others,
            batch.values,
        )
        solved.append(
            _solve_batch(*problem) if improved is None else _improve_batch(*problem, improved, batch.rows)
        )
    return of_rows.assemble(x for x, _ in solved), float(tf.add_n([squared for _, squared in solved]))


def initial_side(size: int, k: int, seed: int, *, width: int) -> tf.Tensor:
    """float32 (size + 1, width): small random factors in the first k columns, zeros beside them, and nobody."""
    factors = np.random.default_rng(seed).normal(0.0, INITIAL_DEVIATION / np.sqrt(k), (size, k))
    return tf.constant(np.pad(factors, ((0, 1), (0, width - k))), tf.float32)


def _solve(
    design: tf.Tensor,
    offsets: tf.Tensor,
    shared_gram: tf.Tensor,
    penalty: tf.Tensor,
    others: tf.Tensor,
    values: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    rows, targets = tf.gather(design, others), values - tf.gather(offsets, others)
    x = ridge.solve(rows, targets, penalty, shared_gram)
    return x, tf.reduce_sum(tf.square(ridge.residuals(rows, targets, x)))


def _improve(
    design: tf.Tensor,
    offsets: tf.Tensor,
    shared_gram: tf.Tensor,
    penalty: tf.Tensor,
    others: tf.Tensor,
    values: tf.Tensor,
    last: tf.Tensor,
    members: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    rows, targets = tf.gather(design, others), values - tf.gather(offsets, others)
    x, residuals = ridge.improve(rows, targets, penalty, tf.gather(last, members), shared_gram)
    return x, tf.reduce_sum(tf.square(residuals))


_PROBLEM = [
    tf.TensorSpec([None, None], tf.float32),
    tf.TensorSpec([None], tf.float32),
    tf.TensorSpec([None, None], tf.float32),
    tf.TensorSpec([None], tf.float32),
    tf.TensorSpec([None, None], tf.int32),
    tf.TensorSpec([None, None], tf.float32),
]
# No shape is fixed, so that one trace serves all batches of all fits.
_solve_batch = tf.function(_solve, input_signature=_PROBLEM)
_improve_batch = tf.function(
    _improve,
    input_signature=[*_PROBLEM, tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([None], tf.int32)],
)
