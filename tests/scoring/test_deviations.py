from __future__ import annotations

import numpy as np
import pytest

from mfserve_scoring import RatingBasis, Recommender
from mfserve_scoring.deviations import deviations
from tests.registry.snapshot.samples import random_content, with_posterior
from tests.scoring.snapshots import opened


@pytest.mark.parametrize("numbers", [1, 1000, 1 << 17], ids=["pair by pair", "in parts", "at once"])
def test_deviation_is_that_of_the_samples_and_the_noise(
    numbers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfserve_scoring.deviations._NUMBERS", numbers)
    content = with_posterior(random_content(5))
    posterior = content.rating.posterior
    assert posterior is not None
    random = np.random.default_rng(0)
    users = random.integers(0, len(content.user_ids), 600)
    items = random.integers(0, len(content.item_ids), 600)
    found = deviations(posterior, users, items)
    for n in range(0, 600, 7):
        of_user = posterior.user_samples[users[n]].astype(np.float64)
        of_item = posterior.item_samples[items[n]].astype(np.float64)
        predicted = [u[:-1] @ i[:-1] + u[-1] + i[-1] for u, i in zip(of_user, of_item, strict=True)]
        variance = np.sum((np.array(predicted) - np.mean(predicted)) ** 2) / (len(predicted) - 1)
        np.testing.assert_allclose(found[n], np.sqrt(variance + posterior.user_noise[users[n]]), rtol=1e-6)


def test_only_predictions_of_the_model_have_a_deviation() -> None:
    snapshot = opened(with_posterior(random_content(5)))
    recommender = Recommender(snapshot)
    pairs = [("u0", "i1"), ("u0", "nothing"), ("nobody", "i1"), ("nobody", "nothing"), ("u3", "i2")]
    found = recommender.predict_many(pairs)
    assert found.deviations is not None
    assert found.deviations.dtype == np.float32
    assert [bool(value) for value in found.deviations > 0] == [True, False, False, False, True]
    for (user, item), deviation in zip(pairs, found.deviations.tolist(), strict=True):
        alone = recommender.predict(user, item)
        assert alone.deviation == (deviation or None)
        assert (alone.deviation is None) == (alone.basis is not RatingBasis.MODEL)


def test_an_engine_without_samples_tells_no_deviation() -> None:
    recommender = Recommender(opened(random_content(5)))
    assert recommender.predict("u0", "i1").deviation is None
    assert recommender.predict_many([("u0", "i1")]).deviations is None
