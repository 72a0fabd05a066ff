"""Turns samples of the chain into a head that answers with one dot product."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfserve_registry.snapshot.content import Posterior, RatingHead
from mfserve_scoring.exact import Doubles, Floats
from mfserve_scoring.foldin import gram
from mfserve_trainer.engines.bayes.chain import Sample

RESOLVED = 1e-6
"""Singular values below this share of the largest are rounding."""


def head_of(samples: Sequence[Sample], factors: int) -> RatingHead:
    """The head whose dot product is the posterior mean, as nearly as ``factors`` numbers for a row allow.

    The mean of p_u · q_i over samples is not the dot product of means, since the factors rotate from sample to sample.
    It is exactly [p¹ … p^S] · [q¹ … q^S] / S; of that the best approximation over all cells is kept. For q the
    conditional's mean stands in for the draw, which leaves the expectation as it is and takes off variance
    (Gelfand and Smith 1990, "Sampling-based approaches to calculating marginal densities").

    Args:
        samples: at least 2.
        factors: k′.
    """
    user_factors, item_factors = compress(
        _side_by_side([sample.users for sample in samples]),
        _side_by_side([sample.item_means for sample in samples]),
        factors,
    )
    noise = _mean([sample.user_noise for sample in samples])
    prior_mean, prior_precision = _prior_of_unseen(samples, item_factors, float(np.median(noise)))
    return RatingHead(
        intercept=0.0,
        user_biases=_mean([sample.users[:, -1] for sample in samples]),
        item_biases=_mean([sample.item_means[:, -1] for sample in samples]),
        user_factors=user_factors,
        item_factors=item_factors,
        regularization=0.0,
        folds_bias=True,
        posterior=Posterior(
            user_samples=np.stack([sample.users for sample in samples], axis=1),
            item_samples=np.stack([sample.items for sample in samples], axis=1),
            user_noise=noise,
            prior_mean=prior_mean.astype(np.float32),
            prior_precision=prior_precision.astype(np.float32),
        ),
    )


def _side_by_side(sides: Sequence[Floats]) -> Floats:
    """[p¹ … p^S] / √S, without the biases."""
    stacked: Floats = np.concatenate([side[:, :-1] for side in sides], axis=1)
    stacked /= np.sqrt(len(sides))
    return stacked


def compress(left: Floats, right: Floats, factors: int) -> tuple[Floats, Floats]:
    """The best approximation of left · rightᵀ by a product of ``factors`` columns, over all cells in squared error.

    That is its truncated singular value decomposition (Eckart and Young 1936), had without the cells: with left = U A
    and right = V B, columns of U and V orthonormal, from that of the small A Bᵀ.

    Args:
        left, right: float (n, m) and (l, m).
        factors: columns wanted; fewer come where the product has no higher rank.

    Returns:
        float32 (n, k) and (l, k), k at least 1; columns orthogonal, each equally long on both sides.
    """
    left_root, left_inverse = _roots(left)
    right_root, right_inverse = _roots(right)
    u, s, vt = np.linalg.svd(left_root @ right_root)
    kept = max(1, min(factors, int(np.count_nonzero(s > RESOLVED * s[0]))))
    scale = np.sqrt(s[:kept])
    left_map, right_map = left_inverse @ u[:, :kept] * scale, right_inverse @ vt[:kept].T * scale
    return left @ left_map.astype(np.float32), right @ right_map.astype(np.float32)


def _roots(matrix: Floats) -> tuple[Doubles, Doubles]:
    """The symmetric root of matrixᵀ · matrix, and the root's pseudo-inverse."""
    values, vectors = np.linalg.eigh(gram(matrix))
    roots = np.sqrt(values.clip(0))
    present = roots > RESOLVED * roots.max()
    inverse = np.divide(1, roots, out=np.zeros_like(roots), where=present)
    return (vectors * roots) @ vectors.T, (vectors * inverse) @ vectors.T


def _mean(arrays: Sequence[Floats]) -> Floats:
    mean: Doubles = np.stack(arrays).mean(axis=0, dtype=np.float64)
    return mean.astype(np.float32)


def _prior_of_unseen(
    samples: Sequence[Sample], item_factors: Floats, noise: float
) -> tuple[Doubles, Doubles]:
    """Mean and precision of [p; b] over users and samples, in the served factors; the precision times ``noise``.

    A sample's user p^s is, in the served factors, the p whose predictions over all items are nearest to those of p^s:
    a linear map for all users of the sample.
    """
    # Of orthogonal columns, one of zeros perhaps: the pseudo-inverse.
    lengths = np.square(item_factors, dtype=np.float64).sum(axis=0)[:, np.newaxis]
    to_served = np.divide(item_factors.T, lengths, out=np.zeros(item_factors.T.shape), where=lengths > 0)
    width = item_factors.shape[1] + 1
    total, squares, count = np.zeros(width), np.zeros((width, width)), 0
    for sample in samples:
        seen = sample.users[:, :-1] @ (to_served @ sample.items[:, :-1]).T.astype(np.float32)
        rows = np.column_stack([seen, sample.users[:, -1]])
        total += rows.sum(axis=0, dtype=np.float64)
        squares += gram(rows)
        count += len(rows)
    mean = total / count
    covariance = squares / count - np.outer(mean, mean)
    # A direction in which nobody differs (one user, equal ratings) has no precision that could be written down.
    floor = 1e-6 * np.trace(covariance) / width + 1e-9
    precision: Doubles = noise * np.linalg.inv(covariance + floor * np.eye(width))
    return mean, precision
