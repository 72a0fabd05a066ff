from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import RatingHead
from mfserve_registry.spec import AlsConfig
from mfserve_trainer.engines import Epoch, Fitted, ReportEpoch, fit_rating, ridge
from mfserve_trainer.engines.als import half_sweep
from mfserve_trainer.engines.histories import histories
from mfserve_trainer.ratings import Ratings
from tests.trainer.engines.contract import EngineContract, ignore
from tests.trainer.engines.synthetic import HeldOut, low_rank, random_table, table


class TestAls(EngineContract[RatingHead]):
    factors = 3
    epochs = 12
    worst_error = 0.1  # the ratings' variance is about 1

    def fit(
        self, ratings: Ratings, *, seed: int = 0, report: ReportEpoch = ignore, log_dir: Path | None = None
    ) -> Fitted[RatingHead]:
        config = AlsConfig(factors=self.factors, iterations=self.epochs, regularization=0.02)
        return fit_rating(ratings, config, seed=seed, report=report, log_dir=log_dir)

    def example(self) -> tuple[Ratings, HeldOut]:
        return low_rank()

    def error(self, head: RatingHead, held_out: HeldOut) -> float:
        predicted = _all_pairs(head)[held_out.user, held_out.item]
        return float(np.mean((predicted - held_out.rating) ** 2))

    def test_head_says_how_to_fold_in(self) -> None:
        ratings = random_table(seed=1)
        head = self.fit(ratings).head
        assert head.folds_bias
        assert head.regularization == 0.02
        assert head.intercept == pytest.approx(ratings.rating.mean())


def test_half_sweep_solves_the_normal_equations() -> None:
    random = np.random.default_rng(4)
    rows, others, k, penalty = 40, 30, 5, 0.3
    shown = random.random((rows, others)) < random.random((rows, 1))
    shown[7] = False  # a row without ratings
    row, other = np.nonzero(shown)
    centred = random.normal(size=len(row)).astype(np.float32)
    factors = random.normal(size=(others, k)).astype(np.float32)
    biases = random.normal(size=others).astype(np.float32)

    batched = histories(row.astype(np.int32), other.astype(np.int32), centred, rows, others, width=k + 1)
    other_side = tf.constant(np.pad(np.column_stack([factors, biases]), ((0, 1), (0, 0))))
    side, squared_error = half_sweep(batched, other_side, penalty)

    expected = np.zeros((rows + 1, k + 1))
    expected_error = 0.0
    for u in range(rows):
        if u == 7:
            continue
        rated = other[row == u]
        a = np.column_stack([factors[rated], np.ones(len(rated))]).astype(np.float64)
        e = centred[row == u] - biases[rated]
        expected[u] = np.linalg.solve(a.T @ a + penalty * len(rated) * np.eye(k + 1), a.T @ e)
        expected_error += np.square(e - a @ expected[u]).sum()
    np.testing.assert_allclose(side.numpy(), expected, atol=2e-5)
    assert squared_error == pytest.approx(expected_error, rel=1e-5)


@pytest.mark.parametrize("solved_exactly", [ridge.SOLVED_EXACTLY, 0], ids=["solved", "improved"])
def test_objective_falls_with_every_sweep_and_is_the_one_reported(
    solved_exactly: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ridge, "SOLVED_EXACTLY", solved_exactly)
    ratings, config = random_table(seed=5), AlsConfig(factors=4, iterations=8, regularization=0.1)
    reported: list[Epoch] = []
    head = fit_rating(ratings, config, seed=0, report=reported.append).head
    losses = [epoch.metrics["loss"] for epoch in reported]
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(losses))

    errors = ratings.rating - _all_pairs(head)[ratings.user_index, ratings.item_index]
    penalty = 0.0
    # In the ratings' units all of σ stands on the user's side of a product.
    for index, factors, biases in (
        (ratings.user_index, head.user_factors, head.user_biases),
        (ratings.item_index, head.item_factors * ratings.rating.std(), head.item_biases),
    ):
        penalty += 0.1 * (np.bincount(index) @ ((factors.astype(np.float64) ** 2).sum(axis=1) + biases**2))
    assert reported[-1].metrics["mse"] == pytest.approx(np.mean(errors**2), rel=1e-4)
    assert losses[-1] == pytest.approx((np.sum(errors**2) + penalty) / len(ratings), rel=1e-4)


def test_improving_arrives_where_solving_does_and_repeats_its_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    ratings, config = random_table(seed=5), AlsConfig(factors=4, iterations=60, regularization=0.1)
    reported: list[Epoch] = []
    fit = partial(fit_rating, ratings, config, seed=0)
    fit(report=reported.append)
    monkeypatch.setattr(ridge, "SOLVED_EXACTLY", 0)
    first, again = fit(report=reported.append).head, fit(report=ignore).head
    np.testing.assert_array_equal(first.user_factors, again.user_factors)
    np.testing.assert_array_equal(first.item_factors, again.item_factors)
    solved, improved = reported[config.iterations - 1].metrics["loss"], reported[-1].metrics["loss"]
    assert improved == pytest.approx(solved, rel=1e-3)


def test_a_penalty_below_float32_is_no_singular_system() -> None:
    ratings = table([(0, 0, 5.0), (1, 1, 1.0), (2, 0, 3.0)])
    config = AlsConfig(factors=8, iterations=5, regularization=1e-30)
    head = fit_rating(ratings, config, seed=0, report=ignore).head
    np.testing.assert_allclose(_all_pairs(head)[[0, 1, 2], [0, 1, 0]], [5.0, 1.0, 3.0], atol=1e-2)


def _all_pairs(head: RatingHead) -> NDArray[np.float64]:
    product = head.user_factors.astype(np.float64) @ head.item_factors.T.astype(np.float64)
    predicted: NDArray[np.float64] = product + head.intercept + head.user_biases[:, None] + head.item_biases
    return predicted
