from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import RatingHead
from mfserve_registry.spec import KerasConfig
from mfserve_trainer.engines import Epoch, Fitted, ReportEpoch, fit_rating, keras_network
from mfserve_trainer.engines.shuffled import epochs_of
from mfserve_trainer.ratings import Ratings
from tests.trainer.engines.contract import EngineContract, arrays_of, ignore
from tests.trainer.engines.synthetic import HeldOut, low_rank, random_table, table

pytestmark = pytest.mark.usefixtures("undrawn")


class TestKeras(EngineContract[RatingHead]):
    factors = 4
    epochs = 15
    worst_error = 0.1  # the ratings' variance is about 1

    def fit(
        self, ratings: Ratings, *, seed: int = 0, report: ReportEpoch = ignore, log_dir: Path | None = None
    ) -> Fitted[RatingHead]:
        config = KerasConfig(factors=self.factors, epochs=self.epochs, learning_rate=0.04)
        return fit_rating(ratings, config, seed=seed, report=report, log_dir=log_dir)

    def example(self) -> tuple[Ratings, HeldOut]:
        return low_rank()

    def error(self, head: RatingHead, held_out: HeldOut) -> float:
        return float(np.mean((_predicted(head, held_out.user, held_out.item) - held_out.rating) ** 2))


def test_all_options_together() -> None:
    ratings = random_table(seed=10)
    config = KerasConfig(
        factors=4, epochs=3, biases=True, l2=0.01, non_negative=True, early_stopping_patience=1
    )
    reported: list[Epoch] = []
    first = fit_rating(ratings, config, seed=3, report=reported.append).head
    again = fit_rating(ratings, config, seed=3, report=ignore).head
    assert first.intercept == pytest.approx(ratings.rating.mean())
    assert first.user_biases.any()
    assert first.item_biases.any()
    for name, array in arrays_of(first).items():
        np.testing.assert_array_equal(array, arrays_of(again)[name], err_msg=name)
    assert {"loss", "mae", "mse", "val_loss", "val_mae", "val_mse"} == reported[0].metrics.keys()


def test_by_default_it_is_the_articles_network() -> None:
    network = keras_network.build(943, 1682, 0.0, KerasConfig(factors=20))
    kinds = [type(layer).__name__ for layer in network.layers]
    assert sorted(kinds) == [
        "Dot",
        "Embedding",
        "Embedding",
        "Flatten",
        "Flatten",
        "InputLayer",
        "InputLayer",
    ]
    assert network.get_layer("item_embedding").get_weights()[0].shape == (1683, 20)
    assert network.get_layer("user_embedding").get_weights()[0].shape == (944, 20)

    head = fit_rating(random_table(seed=1), KerasConfig(epochs=1), seed=0, report=ignore).head
    assert head.intercept == 0.0
    assert not head.user_biases.any()
    assert not head.item_biases.any()
    assert not head.folds_bias


@pytest.mark.parametrize("biases", [False, True])
def test_the_head_predicts_what_the_network_does(biases: bool) -> None:
    ratings, config = random_table(seed=2), KerasConfig(factors=6, biases=biases)
    mean = 3.25 if biases else 0.0
    network = keras_network.build(len(ratings.user_ids), len(ratings.item_ids), mean, config)
    random = np.random.default_rng(3)
    network.set_weights([random.normal(size=weights.shape) for weights in network.get_weights()])
    head = keras_network._head(network, ratings, mean, config)

    inputs = [ratings.user_index[:, None], ratings.item_index[:, None]]
    answered = network.predict(inputs, verbose=0)[:, 0]
    np.testing.assert_allclose(
        answered, _predicted(head, ratings.user_index, ratings.item_index), rtol=1e-4, atol=1e-5
    )
    assert head.folds_bias is biases


def test_full_batch_training_is_adam_on_the_mean_squared_error() -> None:
    ratings, seed, epochs = random_table(seed=4), 5, 4
    config = KerasConfig(factors=3, epochs=epochs, batch_size=len(ratings), learning_rate=0.01)
    head = fit_rating(ratings, config, seed=seed, report=ignore).head

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    network = keras_network.build(len(ratings.user_ids), len(ratings.item_ids), 0.0, config)
    users, items = len(ratings.user_ids), len(ratings.item_ids)
    p = network.get_layer("user_embedding").get_weights()[0][:users].astype(np.float64)
    q = network.get_layer("item_embedding").get_weights()[0][:items].astype(np.float64)
    moments = [np.zeros_like(table) for table in (p, q, p, q)]
    for step in range(1, epochs + 1):
        slope = np.zeros((users, items))
        error = np.sum(p[ratings.user_index] * q[ratings.item_index], axis=1) - ratings.rating
        slope[ratings.user_index, ratings.item_index] = 2 * error / len(ratings)
        gradients = slope @ q, slope.T @ p
        # A row that occurs several times in a batch: Keras squares before it sums.
        squares = slope**2 @ q**2, (slope**2).T @ p**2
        for place, (parameter, gradient) in enumerate(zip((p, q), gradients, strict=True)):
            first, second = moments[place], moments[place + 2]
            first += 0.1 * (gradient - first)
            second += 0.001 * (squares[place] - second)
            rate = 0.01 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            np.subtract(parameter, rate * first / (np.sqrt(second) + 1e-7), out=parameter)
    np.testing.assert_allclose(head.user_factors, p, atol=2e-4)
    np.testing.assert_allclose(head.item_factors, q, atol=2e-4)


def test_l2_weighs_a_row_as_often_as_it_is_rated() -> None:
    ratings, config = random_table(seed=6), KerasConfig(factors=3, l2=0.5, biases=True)
    network = keras_network.build(len(ratings.user_ids), len(ratings.item_ids), 3.0, config)
    network.compile(loss="mse", metrics=["mse"])
    inputs = [ratings.user_index[:, None], ratings.item_index[:, None]]
    loss, mse = network.evaluate(inputs, ratings.rating, batch_size=len(ratings), verbose=0)
    squares = 0.0
    for name, index in (
        ("user_embedding", ratings.user_index),
        ("user_bias_embedding", ratings.user_index),
        ("item_embedding", ratings.item_index),
        ("item_bias_embedding", ratings.item_index),
    ):
        squares += np.sum(network.get_layer(name).get_weights()[0][index].astype(np.float64) ** 2)
    assert loss - mse == pytest.approx(0.5 * squares / len(ratings), rel=1e-3)

    head = fit_rating(ratings, config.model_copy(update={"epochs": 1}), seed=0, report=ignore).head
    assert head.regularization == 0.5  # the fold-in's penalty is λ n too


def test_non_negative_embeddings() -> None:
    ratings = random_table(seed=7)
    for non_negative in (False, True):
        config = KerasConfig(factors=3, epochs=3, non_negative=non_negative)
        head = fit_rating(ratings, config, seed=0, report=ignore).head
        assert bool((head.user_factors >= 0).all() and (head.item_factors >= 0).all()) is non_negative


def test_early_stopping_keeps_the_best_epoch_and_never_trains_on_the_validation_part() -> None:
    ratings = random_table(seed=8)
    config = KerasConfig(factors=8, epochs=200, learning_rate=0.05, early_stopping_patience=2)
    reported: list[Epoch] = []
    head = fit_rating(ratings, config, seed=1, report=reported.append).head
    losses = [epoch.metrics["val_loss"] for epoch in reported]
    best = int(np.argmin(losses))
    assert len(losses) == best + 3 < 200

    training, validation = keras_network._parts(ratings, config, seed=1)
    assert len(validation) == round(0.1 * len(ratings))
    assert sorted([*training, *validation]) == list(range(len(ratings)))
    assert set(ratings.user_index[training]) == set(ratings.user_index)
    assert set(ratings.item_index[training]) == set(ratings.item_index)
    predicted = _predicted(head, ratings.user_index[validation], ratings.item_index[validation])
    assert np.mean((predicted - ratings.rating[validation]) ** 2) == pytest.approx(losses[best], rel=1e-4)


def test_data_too_small_for_a_validation_part_never_stops_early() -> None:
    reported: list[Epoch] = []
    config = KerasConfig(epochs=5, early_stopping_patience=1)
    fit_rating(table([(0, 0, 3.0), (1, 1, 4.0)]), config, seed=0, report=reported.append)
    assert len(reported) == 5


@pytest.mark.parametrize("batch_size", [1, 7, 32, 1000])
def test_every_epoch_is_another_permutation_of_the_rows(batch_size: int) -> None:
    ratings = random_table(seed=9, users=12, items=10)
    rows = np.arange(0, len(ratings), 2)
    dataset, steps = epochs_of(ratings, rows, batch_size=batch_size, epochs=3, seed=2**32 - 1)
    batches = list(dataset.as_numpy_iterator())
    assert len(batches) == 3 * steps
    orders: list[list[tuple[int, int, float]]] = []
    for first in range(0, len(batches), steps):
        orders.append([])
        for (users, items), values in batches[first : first + steps]:
            assert users.shape == items.shape == (len(values), 1)
            orders[-1] += zip(users[:, 0].tolist(), items[:, 0].tolist(), values.tolist(), strict=True)
    columns = ratings.user_index, ratings.item_index, ratings.rating
    expected = list(zip(*(column[rows].tolist() for column in columns), strict=True))
    assert all(sorted(order) == sorted(expected) for order in orders)
    assert orders[0] != orders[1] != orders[2]


def _predicted(head: RatingHead, user: NDArray[np.integer], item: NDArray[np.integer]) -> NDArray[np.float64]:
    product = np.sum(head.user_factors[user].astype(np.float64) * head.item_factors[item], axis=1)
    predicted: NDArray[np.float64] = (
        product + head.intercept + head.user_biases[user] + head.item_biases[item]
    )
    return predicted
