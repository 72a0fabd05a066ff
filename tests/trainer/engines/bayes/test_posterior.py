"""From samples to the head, on samples made by hand: no chain is run."""

from __future__ import annotations

import numpy as np

from mfserve_registry.snapshot.content import RatingHead
from mfserve_scoring.foldin import RatingFoldIn
from mfserve_trainer.engines.bayes.chain import Sample
from mfserve_trainer.engines.bayes.posterior import head_of

USERS, ITEMS, FACTORS = 40, 25, 3


def test_the_head_is_the_mean_over_samples_whose_factors_are_rotated() -> None:
    samples = _samples(seed=0, spread=0.3)
    head = head_of(samples, factors=100)
    expected = np.mean([_products(sample) for sample in samples], axis=0)
    np.testing.assert_allclose(_scores(head), expected, atol=1e-4)
    # The product of mean factors, in contrast, is something else: each sample has axes of its own.
    naive = np.mean([s.users[:, :-1] for s in samples], 0) @ np.mean([s.items[:, :-1] for s in samples], 0).T
    assert np.abs(naive - (expected - _biases(samples))).mean() > 0.5


def test_fewer_factors_are_the_best_approximation_of_that_many() -> None:
    samples = _samples(seed=1, spread=0.5)
    head = head_of(samples, factors=4)
    expected = np.mean([_products(sample) for sample in samples], axis=0) - _biases(samples)
    u, s, vt = np.linalg.svd(expected)
    found = head.user_factors.astype(np.float64) @ head.item_factors.T
    np.testing.assert_allclose(found, (u[:, :4] * s[:4]) @ vt[:4], atol=1e-3)


def test_the_prior_is_how_users_lie_in_the_served_factors() -> None:
    """With one set of item factors in all samples, the served ones span the same space."""
    random = np.random.default_rng(2)
    items = random.normal(size=(ITEMS, FACTORS + 1)).astype(np.float32)
    samples = [
        Sample(
            users=random.normal([1, 0, -1, 0.5], [1, 2, 0.5, 0.3], (400, FACTORS + 1)).astype(np.float32),
            items=items,
            item_means=items,
            user_noise=np.full(400, 0.5, dtype=np.float32),
            mse=0.0,
            loss=0.0,
        )
        for _ in range(5)
    ]
    head = head_of(samples, factors=FACTORS)
    assert head.posterior is not None
    served = np.concatenate(
        [
            np.column_stack(
                [
                    np.linalg.lstsq(head.item_factors, items[:, :-1] @ sample.users[:, :-1].T)[0].T,
                    sample.users[:, -1],
                ]
            )
            for sample in samples
        ]
    )
    np.testing.assert_allclose(head.posterior.prior_mean, served.mean(axis=0), atol=1e-3)
    expected = 0.5 * np.linalg.inv(np.cov(served.T, bias=True))
    np.testing.assert_allclose(head.posterior.prior_precision, expected, rtol=1e-2, atol=1e-2)


def test_a_history_moves_a_user_from_the_prior_as_far_as_it_tells() -> None:
    head = head_of(_samples(seed=3, spread=0.1), factors=FACTORS)
    assert head.posterior is not None
    fold_in = RatingFoldIn(head)
    mean = head.posterior.prior_mean.astype(np.float64)
    everything = np.arange(ITEMS, dtype=np.int32)
    as_foretold = head.item_factors @ mean[:-1] + mean[-1] + head.item_biases + head.intercept
    for items in (everything[:1], everything):
        folded = fold_in.solve(items, as_foretold[items].astype(np.float64))
        np.testing.assert_allclose(np.append(folded.factors, folded.bias), mean, atol=1e-3)
    # Each rating says one more: the whole history brings the bias nearer to that than a single rating.
    single, whole = (fold_in.solve(items, as_foretold[items] + 1.0) for items in (everything[:1], everything))
    assert mean[-1] < single.bias < whole.bias < mean[-1] + 1.2


def _samples(seed: int, spread: float) -> list[Sample]:
    """Scattered around one truth, each in axes of its own."""
    random = np.random.default_rng(seed)
    users, items = random.normal(size=(USERS, FACTORS + 1)), random.normal(size=(ITEMS, FACTORS + 1))
    samples = []
    for _ in range(6):
        turn = np.linalg.qr(random.normal(size=(FACTORS, FACTORS)))[0]
        drawn = [side + spread * random.normal(size=side.shape) for side in (users, items)]
        for side in drawn:
            side[:, :-1] = side[:, :-1] @ turn
        of_users, of_items = (side.astype(np.float32) for side in drawn)
        noise = np.ones(USERS, dtype=np.float32)
        samples.append(Sample(of_users, of_items, of_items, noise, mse=0.0, loss=0.0))
    return samples


def _products(sample: Sample) -> np.ndarray:
    users, items = sample.users.astype(np.float64), sample.item_means.astype(np.float64)
    product: np.ndarray = users[:, :-1] @ items[:, :-1].T + users[:, -1:] + items[:, -1]
    return product


def _biases(samples: list[Sample]) -> np.ndarray:
    biases: np.ndarray = np.mean([s.users[:, -1:] + s.item_means[:, -1] for s in samples], axis=0)
    return biases


def _scores(head: RatingHead) -> np.ndarray:
    dots = head.user_factors.astype(np.float64) @ head.item_factors.T
    scores: np.ndarray = head.intercept + head.user_biases[:, None] + head.item_biases + dots
    return scores
