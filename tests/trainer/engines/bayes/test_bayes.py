from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfserve_registry.snapshot.content import RatingHead
from mfserve_registry.spec import AlsConfig, BayesConfig
from mfserve_scoring.deviations import deviations
from mfserve_scoring.foldin import RatingFoldIn
from mfserve_trainer.engines import Fitted, ReportEpoch, fit_rating
from mfserve_trainer.ratings import Ratings
from tests.trainer.engines.contract import EngineContract, ignore
from tests.trainer.engines.synthetic import HeldOut, low_rank, random_table, table

QUICK = BayesConfig(factors=3, burn_in=10, samples=40, served_factors=6, interaction_features=4)


class TestBayes(EngineContract[RatingHead]):
    factors = QUICK.served_factors
    epochs = QUICK.passes
    worst_error = 0.05  # the ratings' variance is about 1

    def fit(
        self, ratings: Ratings, *, seed: int = 0, report: ReportEpoch = ignore, log_dir: Path | None = None
    ) -> Fitted[RatingHead]:
        return fit_rating(ratings, QUICK, seed=seed, report=report, log_dir=log_dir)

    def example(self) -> tuple[Ratings, HeldOut]:
        return low_rank()

    def error(self, head: RatingHead, held_out: HeldOut) -> float:
        return float(np.mean((_predict(head, held_out.user, held_out.item) - held_out.rating) ** 2))

    def check_fold_in(self, head: RatingHead) -> None:
        posterior, width = head.posterior, head.item_factors.shape[1] + 1
        assert head.folds_bias
        assert head.regularization == 0
        assert posterior is not None
        samples = posterior.user_samples.shape[1]
        assert 2 <= samples <= 40
        assert posterior.user_samples.shape == (len(head.user_factors), samples, QUICK.factors + 1)
        assert posterior.item_samples.shape == (len(head.item_factors), samples, QUICK.factors + 1)
        assert posterior.prior_mean.shape == (width,)
        assert posterior.prior_precision.shape == (width, width)
        assert (posterior.user_noise > 0).all()
        for array in (posterior.user_samples, posterior.item_samples, posterior.prior_mean):
            assert np.isfinite(array).all()
        assert (np.linalg.eigvalsh(posterior.prior_precision.astype(np.float64)) > 0).all()


def test_one_dot_product_is_the_mean_over_the_samples() -> None:
    """With as many served factors as the samples have together nothing is lost but the draws' own scatter."""
    ratings, held_out = low_rank()
    config = QUICK.model_copy(update={"served_factors": 120, "samples": 400})
    head = fit_rating(ratings, config, seed=0, report=ignore).head
    assert head.posterior is not None
    users = head.posterior.user_samples[held_out.user].astype(np.float64)
    items = head.posterior.item_samples[held_out.item].astype(np.float64)
    of_samples = head.intercept + (
        np.sum(users[..., :-1] * items[..., :-1], axis=2) + users[..., -1] + items[..., -1]
    ).mean(axis=1)
    difference = _predict(head, held_out.user, held_out.item) - of_samples
    assert np.abs(difference).mean() < 0.05


def test_more_factors_than_there_are_do_little_harm() -> None:
    """Where least squares fits the noise with them."""
    ratings, user, item, rating = _noisy(deviation=0.7)
    config = QUICK.model_copy(update={"factors": 8})
    bayes = fit_rating(ratings, config, seed=0, report=ignore).head
    als = fit_rating(ratings, AlsConfig(factors=8, regularization=0.05), seed=0, report=ignore).head
    of_bayes, of_als = (np.mean((_predict(head, user, item) - rating) ** 2) for head in (bayes, als))
    assert of_bayes < 0.75
    assert of_bayes < 0.8 * of_als


@pytest.mark.parametrize("deviation", [0.3, 1.0])
def test_deviations_are_those_of_the_ratings(deviation: float) -> None:
    ratings, user, item, rating = _noisy(deviation)
    head = fit_rating(ratings, QUICK.model_copy(update={"burn_in": 40}), seed=0, report=ignore).head
    assert head.posterior is not None
    standardised = (rating - _predict(head, user, item)) / deviations(head.posterior, user, item)
    # Of a normal distribution 68.3 % and 95.4 %, give or take three standard errors over some 1,800 ratings.
    assert np.mean(np.abs(standardised) < 1) == pytest.approx(0.683, abs=0.05)
    assert np.mean(np.abs(standardised) < 2) == pytest.approx(0.954, abs=0.025)


def test_a_user_who_rates_erratically_is_known_as_such() -> None:
    ratings, *_ = _noisy(deviation=0.3)
    erratic = ratings.user_index == 0
    shuffled = ratings.rating.copy()
    shuffled[erratic] = np.random.default_rng(0).permutation(np.linspace(1, 5, np.count_nonzero(erratic)))
    cells = zip(ratings.user_index.tolist(), ratings.item_index.tolist(), shuffled.tolist(), strict=True)
    head = fit_rating(table(list(cells)), QUICK, seed=0, report=ignore).head
    assert head.posterior is not None
    assert head.posterior.user_noise[0] == head.posterior.user_noise.max()
    assert head.posterior.user_noise[0] > 3 * np.median(head.posterior.user_noise)


def test_folding_in_a_trained_user_predicts_much_the_same() -> None:
    ratings, held_out = low_rank()
    head = fit_rating(ratings, QUICK, seed=0, report=ignore).head
    fold_in = RatingFoldIn(head)
    of_folded = np.empty(len(held_out.rating))
    for user in range(len(ratings.user_ids)):
        rows = ratings.user_index == user
        order = np.argsort(ratings.item_index[rows])
        items = ratings.item_index[rows][order]
        folded = fold_in.solve(items, ratings.rating[rows][order].astype(np.float64))
        asked = held_out.user == user
        of_folded[asked] = (
            head.intercept
            + folded.bias
            + head.item_biases[held_out.item[asked]]
            + head.item_factors[held_out.item[asked]] @ folded.factors
        )
    assert np.mean((of_folded - held_out.rating) ** 2) < 0.08


def test_a_sample_more_or_less_of_features_is_no_matter() -> None:
    """More features than there are users, and none at all."""
    ratings = random_table(seed=1, users=12, items=9)
    for features in (0, 50):
        config = QUICK.model_copy(update={"interaction_features": features})
        head = fit_rating(ratings, config, seed=0, report=ignore).head
        assert np.isfinite(head.user_factors).all()


def _noisy(
    deviation: float,
) -> tuple[Ratings, np.ndarray, np.ndarray, np.ndarray]:
    """A rank-2 matrix under normal noise: 30 % of it as ratings, and the rest."""
    random = np.random.default_rng(5)
    left, right = random.normal(size=(60, 2)), random.normal(size=(50, 2))
    rating = 3 + 0.5 * (left @ right.T + random.normal(size=(60, 1)) + random.normal(size=50))
    rating = rating + deviation * random.normal(size=rating.shape)
    shown = random.random(rating.shape) < 0.4
    ratings = table([(u, i, float(rating[u, i])) for u, i in np.argwhere(shown).tolist()])
    user, item = np.nonzero(~shown)
    return ratings, user, item, rating[user, item]


def _predict(head: RatingHead, user: np.ndarray, item: np.ndarray) -> np.ndarray:
    dots = np.sum(head.user_factors[user].astype(np.float64) * head.item_factors[item], axis=1)
    predicted: np.ndarray = head.intercept + head.user_biases[user] + head.item_biases[item] + dots
    return predicted
