"""The same ratings in other units are the same training."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mfserve_registry.snapshot.content import RatingHead
from mfserve_registry.spec import AlsConfig, BayesConfig, RatingScale
from mfserve_scoring.deviations import deviations
from mfserve_scoring.foldin import RatingFoldIn
from mfserve_trainer.engines import Epoch, fit_rating
from mfserve_trainer.ratings import Ratings, from_codes
from tests.trainer.engines.synthetic import low_rank

ENGINES: list[Any] = [
    AlsConfig(factors=3, iterations=5),
    BayesConfig(factors=3, burn_in=5, samples=40, served_factors=4, interaction_features=4),
]


@pytest.mark.parametrize("config", ENGINES, ids=lambda config: config.engine)
def test_predictions_scale_with_the_ratings(config: Any) -> None:
    stars, _ = low_rank()
    percent = _scaled(stars, 25.0, 10.0)
    heads, last = [], []
    for ratings in (stars, percent):
        epochs: list[Epoch] = []
        heads.append(fit_rating(ratings, config, seed=0, report=epochs.append).head)
        last.append(epochs[-1].metrics)
    of_stars, of_percent = map(_all_pairs, heads)
    np.testing.assert_allclose(of_percent, 10 + 25 * of_stars, rtol=0.01, atol=0.3)
    assert last[1]["mse"] == pytest.approx(625 * last[0]["mse"], rel=0.02)

    items, given = np.array([3, 8, 20], dtype=np.int32), np.array([1.0, 4.5, 3.0])
    folded = [
        RatingFoldIn(head).solve(items, one)
        for head, one in zip(heads, (given, 10 + 25 * given), strict=True)
    ]
    predicted = [
        head.intercept + user.bias + head.item_biases + head.item_factors @ user.factors
        for head, user in zip(heads, folded, strict=True)
    ]
    np.testing.assert_allclose(predicted[1], 10 + 25 * predicted[0], rtol=0.01, atol=0.3)


def test_deviations_scale_too() -> None:
    stars, _ = low_rank()
    users, items = np.arange(40), np.arange(40)
    found = []
    for ratings in (stars, _scaled(stars, 25.0, 10.0)):
        head = fit_rating(ratings, ENGINES[1], seed=0, report=lambda epoch: None).head
        assert head.posterior is not None
        found.append(deviations(head.posterior, users, items))
    np.testing.assert_allclose(found[1], 25 * found[0], rtol=0.02)


def _scaled(ratings: Ratings, factor: float, shift: float) -> Ratings:
    return from_codes(
        users=(ratings.user_index, list(ratings.user_ids)),
        items=(ratings.item_index, list(ratings.item_ids)),
        rating=shift + factor * ratings.rating,
        scale=RatingScale(minimum=shift + factor, maximum=shift + 5 * factor),
        name="scaled",
    )


def _all_pairs(head: RatingHead) -> np.ndarray:
    dots = head.user_factors.astype(np.float64) @ head.item_factors.T
    scores: np.ndarray = head.intercept + head.user_biases[:, None] + head.item_biases + dots
    return scores
