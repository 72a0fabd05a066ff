from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from mfserve_registry.snapshot.content import RankingHead
from mfserve_registry.spec import IalsConfig, RatingScale
from mfserve_trainer.engines import Epoch, Fitted, ReportEpoch, fit_ranking, ridge
from mfserve_trainer.engines.histories import histories
from mfserve_trainer.engines.ials import TARGETS, for_size, graded, half_sweep, scaled_penalty
from mfserve_trainer.ratings import Ratings
from tests.trainer.engines.contract import EngineContract, ignore
from tests.trainer.engines.synthetic import HeldOut, random_table, table, two_camps


class TestIals(EngineContract[RankingHead]):
    factors = 4
    epochs = 6
    worst_error = 0.02

    def fit(
        self, ratings: Ratings, *, seed: int = 0, report: ReportEpoch = ignore, log_dir: Path | None = None
    ) -> Fitted[RankingHead]:
        config = IalsConfig(factors=self.factors, iterations=self.epochs)
        return fit_ranking(ratings, config, seed=seed, report=report, log_dir=log_dir)

    def example(self) -> tuple[Ratings, HeldOut]:
        return two_camps()

    def error(self, head: RankingHead, held_out: HeldOut) -> float:
        """How often an unloved item stands above a loved one: 1 − AUC, over all pairs of held-out cells."""
        scores = np.sum(head.user_factors[held_out.user] * head.item_factors[held_out.item], axis=1)
        loved = held_out.rating == 5.0
        return float(np.mean(scores[loved][:, None] <= scores[~loved]))

    def test_head_says_how_to_fold_in(self) -> None:
        ratings = random_table(seed=1)
        head = self.fit(ratings).head
        defaults = IalsConfig()
        assert head.regularization == _in_absolute_terms(defaults, ratings)
        assert head.unobserved_weight == defaults.unobserved_weight
        assert head.frequency_exponent == defaults.frequency_exponent
        assert head.targets == TARGETS


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_half_sweep_minimises_over_all_pairs(exponent: float) -> None:
    random = np.random.default_rng(4)
    rows, others, k = 40, 30, 5
    config = IalsConfig(regularization=0.05, unobserved_weight=0.2, frequency_exponent=exponent)
    observed = random.random((rows, others)) < random.random((rows, 1))
    observed[7] = False  # a row without ratings
    targets = np.where(observed, random.random((rows, others)), 0.0).astype(np.float32)
    factors = random.normal(size=(others, k)).astype(np.float32)

    row, other = np.nonzero(observed)
    batched = histories(
        row.astype(np.int32), other.astype(np.int32), targets[row, other], rows, others, width=k
    )
    side, squared_error = half_sweep(batched, tf.constant(np.pad(factors, ((0, 1), (0, 0)))), config)

    # No Gram trick: every pair is a row of the regression, with weight α₀, or 1 + α₀ where it was observed.
    q = factors.astype(np.float64)
    expected = np.zeros((rows + 1, k))
    for u in range(rows):
        weight = 0.2 + observed[u]
        ridge = 0.05 * (observed[u].sum() + 0.2 * others) ** exponent
        expected[u] = np.linalg.solve((q.T * weight) @ q + ridge * np.eye(k), q.T @ targets[u])
    np.testing.assert_allclose(side.numpy(), expected, atol=2e-5)
    assert squared_error == pytest.approx(
        np.square((expected[:-1] @ q.T - targets)[observed]).sum(), rel=1e-4
    )


@pytest.mark.parametrize("solved_exactly", [ridge.SOLVED_EXACTLY, 0], ids=["solved", "improved"])
def test_objective_falls_with_every_sweep_and_is_the_one_reported(
    solved_exactly: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ridge, "SOLVED_EXACTLY", solved_exactly)
    ratings, config = random_table(seed=5), IalsConfig(factors=4, iterations=8)
    reported: list[Epoch] = []
    head = fit_ranking(ratings, config, seed=0, report=reported.append).head
    losses = [epoch.metrics["loss"] for epoch in reported]
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(losses))

    scores = head.user_factors.astype(np.float64) @ head.item_factors.T.astype(np.float64)
    targets = graded(ratings.rating, ratings.scale)
    loss = np.sum((scores[ratings.user_index, ratings.item_index] - targets) ** 2)
    loss += config.unobserved_weight * np.sum(scores**2)
    for index, factors, others in (
        (ratings.user_index, head.user_factors, len(ratings.item_ids)),
        (ratings.item_index, head.item_factors, len(ratings.user_ids)),
    ):
        scale = (np.bincount(index) + config.unobserved_weight * others) ** config.frequency_exponent
        loss += _in_absolute_terms(config, ratings) * (scale @ (factors.astype(np.float64) ** 2).sum(axis=1))
    assert losses[-1] == pytest.approx(loss / len(ratings), rel=1e-4)


def test_targets_are_interpolated_over_the_scale() -> None:
    whole = graded(np.array([1, 2, 3, 4, 5], np.float32), RatingScale(minimum=1, maximum=5))
    np.testing.assert_array_equal(whole, np.array(TARGETS, np.float32))
    halves = graded(np.array([0.5, 5.0, 2.75], np.float32), RatingScale(minimum=0.5, maximum=5))
    np.testing.assert_allclose(halves, [TARGETS[0], TARGETS[-1], TARGETS[2]], rtol=1e-6)
    between = graded(np.array([4.5], np.float32), RatingScale(minimum=1, maximum=5))
    np.testing.assert_allclose(between, [(TARGETS[3] + TARGETS[4]) / 2], rtol=1e-6)


def test_improving_arrives_where_solving_does_and_repeats_its_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    ratings, config = random_table(seed=5), IalsConfig(factors=4, iterations=60)
    reported: list[Epoch] = []
    fit = partial(fit_ranking, ratings, config, seed=0)
    fit(report=reported.append)
    monkeypatch.setattr(ridge, "SOLVED_EXACTLY", 0)
    first, again = fit(report=reported.append).head, fit(report=ignore).head
    np.testing.assert_array_equal(first.user_factors, again.user_factors)
    np.testing.assert_array_equal(first.item_factors, again.item_factors)
    solved, improved = reported[config.iterations - 1].metrics["loss"], reported[-1].metrics["loss"]
    assert improved == pytest.approx(solved, rel=1e-3)


def test_a_penalty_below_float32_is_no_singular_system() -> None:
    config = IalsConfig(factors=64, iterations=3, regularization=1e-30, unobserved_weight=1e-30)
    head = fit_ranking(random_table(seed=6, users=9, items=8), config, seed=0, report=ignore).head
    assert np.isfinite(head.user_factors).all()
    assert np.isfinite(head.item_factors).all()


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.0])
def test_the_penalties_of_average_rows_are_regularization_on_data_of_any_size(exponent: float) -> None:
    config = IalsConfig(regularization=6.0, frequency_exponent=exponent)
    for ratings, users, items in ((80_000, 943, 1682), (80_000, 610, 9724), (16_000_000, 138_000, 27_000)):
        absolute = for_size(config, ratings, users, items)
        of_user, of_item = (
            float(scaled_penalty(tf.constant([ratings / rows], tf.float32), others, absolute)[0])
            for rows, others in ((users, items), (items, users))
        )
        assert np.sqrt(of_user * of_item) == pytest.approx(6.0, rel=1e-4)


def _in_absolute_terms(config: IalsConfig, ratings: Ratings) -> float:
    return for_size(config, len(ratings), len(ratings.user_ids), len(ratings.item_ids)).regularization


def test_a_handful_of_ratings_says_something() -> None:
    ratings = table(
        [(0, 0, 5.0), (0, 1, 4.0), (1, 0, 5.0), (1, 2, 1.0), (2, 1, 4.0), (2, 2, 2.0), (2, 0, 5.0)]
    )
    head = fit_ranking(ratings, IalsConfig(), seed=0, report=ignore).head
    scores = head.user_factors @ head.item_factors.T
    assert scores[0, 0] > 0.3
    assert scores[1, 0] > 2 * scores[1, 2]
