"""Each conditional against the textbook: exact where it can be, by its moments where it is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from mfserve_trainer.engines.bayes.noise import PRIOR_STRENGTH, Noise, draw_noise
from mfserve_trainer.engines.bayes.pieces import LENGTH, pieces
from mfserve_trainer.engines.bayes.priors import Prior, draw_prior
from mfserve_trainer.engines.bayes.rows import draw_rows

D, ROWS, OTHERS = 4, 5, 40


@pytest.mark.parametrize("block_floats", [1 << 25, 100, 1])
def test_rows_are_drawn_from_the_textbook_conditional(
    monkeypatch: pytest.MonkeyPatch, block_floats: int
) -> None:
    monkeypatch.setattr("mfserve_trainer.engines.bayes.pieces.BLOCK_FLOATS", block_floats)
    random = np.random.default_rng(0)
    # Histories of one rating, of several pieces, and of exactly one piece and two.
    lengths = [1, 37, 16, 32, 7]
    row = np.repeat(np.arange(ROWS), lengths).astype(np.int32)
    other = np.concatenate([random.permutation(OTHERS)[:n] for n in lengths]).astype(np.int32)
    shuffled = random.permutation(len(row))
    row, other = row[shuffled], other[shuffled]
    values = random.normal(size=len(row)).astype(np.float32)
    side = random.normal(size=(OTHERS, D)).astype(np.float32)
    tau = random.gamma(2.0, size=OTHERS).astype(np.float32)
    omega = random.gamma(2.0, size=ROWS).astype(np.float32)
    prior_mean = random.normal(size=(ROWS, D)).astype(np.float32)
    square = random.normal(size=(D, D))
    prior_precision = square @ square.T + np.eye(D)
    noise = random.normal(size=(ROWS, D)).astype(np.float32)

    drawn = draw_rows(
        pieces(row, other, values, ROWS, OTHERS, width=D),
        side,
        other_precision=tau,
        row_precision=omega,
        prior_mean=prior_mean,
        prior_precision=prior_precision,
        noise=noise,
    )

    for u in range(ROWS):
        precision, right, error = prior_precision.copy(), prior_precision @ prior_mean[u], 0.0
        design = [np.append(side[i, :-1], 1.0).astype(np.float64) for i in other[row == u]]
        target = [
            float(v) - float(side[i, -1]) for i, v in zip(other[row == u], values[row == u], strict=True)
        ]
        weight = [float(tau[i]) for i in other[row == u]]
        for a, t, w in zip(design, target, weight, strict=True):
            precision += omega[u] * w * np.outer(a, a)
            right = right + omega[u] * w * t * a
        mean = np.linalg.solve(precision, right)
        draw = mean + np.linalg.solve(np.linalg.cholesky(precision).T, noise[u])
        for a, t, w in zip(design, target, weight, strict=True):
            error += w * (t - a @ draw) ** 2
        np.testing.assert_allclose(drawn.mean[u], mean, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(drawn.draw[u], draw, rtol=1e-3, atol=1e-3)
        assert drawn.error[u] == pytest.approx(error, rel=1e-3, abs=1e-3)


def test_pieces_hold_every_rating_once_and_pad_with_nobody() -> None:
    random = np.random.default_rng(1)
    row = random.integers(0, ROWS, 200).astype(np.int32)
    row[:ROWS] = np.arange(ROWS)
    other = random.integers(0, OTHERS, 200).astype(np.int32)
    values = random.normal(size=200).astype(np.float32)
    cut = pieces(row, other, values, ROWS, OTHERS, width=D)
    (block,) = cut.blocks
    others, kept, owner = block.others.numpy(), block.values.numpy(), block.row.numpy()
    assert others.shape == kept.shape == (len(owner), LENGTH)
    assert (np.diff(owner) >= 0).all()
    real = others < OTHERS
    found = sorted(
        zip(
            np.repeat(owner, real.sum(axis=1)).tolist(),
            others[real].tolist(),
            kept[real].tolist(),
            strict=True,
        )
    )
    assert found == sorted(zip(row.tolist(), other.tolist(), values.tolist(), strict=True))
    assert (others[~real] == OTHERS).all()
    assert not kept[~real].any()
    np.testing.assert_array_equal(cut.counts, np.bincount(row))


def test_prior_has_the_moments_of_the_normal_wishart() -> None:
    """Without features: E[Λ] = ν W, and m is centred on the shrunken mean (Murphy 2007, section 8)."""
    random = np.random.default_rng(2)
    n, d = 30, 3
    rows = (random.normal(size=(n, d)) @ np.diag([1.0, 2.0, 0.5]) + [1.0, 0.0, -1.0]).astype(np.float32)
    none = np.zeros((n, 0), dtype=np.float32)
    draws = [draw_prior(rows, none, Prior.initial(d, 0), random) for _ in range(4000)]

    mean = rows.mean(axis=0, dtype=np.float64)
    scatter = np.eye(d) + (rows - mean).T @ (rows - mean) + n / (n + 1) * np.outer(mean, mean)
    expected = (d + n) * np.linalg.inv(scatter)
    np.testing.assert_allclose(
        np.mean([draw.precision for draw in draws], axis=0), expected, atol=0.03 * np.abs(expected).max()
    )
    np.testing.assert_allclose(np.mean([draw.mean for draw in draws], axis=0), n / (n + 1) * mean, atol=0.03)


def test_weights_of_features_find_what_made_the_rows() -> None:
    random = np.random.default_rng(3)
    n, d, r = 400, 2, 3
    features = np.linalg.qr(random.normal(size=(n, r)))[0] * [9.0, 6.0, 3.0]
    weights = random.normal(size=(r, d))
    rows = (features @ weights + 0.1 * random.normal(size=(n, d))).astype(np.float32)
    prior = Prior.initial(d, r)
    kept = []
    for sweep in range(300):
        prior = draw_prior(rows, features.astype(np.float32), prior, random)
        if sweep >= 50:
            kept.append(prior)
    np.testing.assert_allclose(np.mean([draw.weights for draw in kept], axis=0), weights, atol=0.05)
    deviation = np.sqrt(np.diag(np.linalg.inv(np.mean([draw.precision for draw in kept], axis=0))))
    np.testing.assert_allclose(deviation, 0.1, atol=0.06)  # W₀ = I weighs as one more row of size 1
    np.testing.assert_allclose(
        prior.row_means(features.astype(np.float32)), features @ prior.weights + prior.mean, atol=1e-5
    )


def test_noise_has_the_moments_of_its_gammas() -> None:
    random = np.random.default_rng(4)
    counts = np.array([10, 200, 3])
    errors = np.array([40.0, 100.0, 0.1], dtype=np.float32)
    last = Noise(1.5, np.ones(3, dtype=np.float32))
    draws = [draw_noise(errors, counts, last, random) for _ in range(4000)]
    expected = (PRIOR_STRENGTH + counts) / (PRIOR_STRENGTH + 1.5 * errors)
    np.testing.assert_allclose(np.mean([draw.of_user for draw in draws], axis=0), expected, rtol=0.03)
    overall = np.mean([draw.overall * (1 + draw.of_user @ errors / 2) for draw in draws])
    assert overall == pytest.approx(1 + counts.sum() / 2, rel=0.01)


def test_loss_is_the_mean_negative_log_likelihood() -> None:
    noise = Noise(2.0, np.array([0.5, 3.0], dtype=np.float32))
    residuals = [np.array([0.3, -1.0, 0.2]), np.array([2.0])]
    errors = np.array([np.sum(r**2) for r in residuals], dtype=np.float32)
    expected = []
    for precision, of_user in zip((1.0, 6.0), residuals, strict=True):
        expected += [
            -np.log(np.sqrt(precision / (2 * np.pi)) * np.exp(-precision * e * e / 2)) for e in of_user
        ]
    assert noise.loss(errors, np.array([3, 1])) == pytest.approx(np.mean(expected), rel=1e-6)
