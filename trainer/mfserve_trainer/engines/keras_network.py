"""Engine ``keras``: the published article's network, trained by Adam on the squared error.

As the article has it: two embeddings, with one row more than there are items and users, flattened, and their dot
product. What the configuration may add: a global mean and biases, an L2 penalty, non-negative embeddings, and
early stopping. None of it is on by default.

The optimizer is Keras's Adam as it is, and so is its treatment of a row that a batch holds several times: it adds up
the *squares* of the row's gradients, not the square of their sum, for the second moment. Large batches therefore take
smaller steps for frequent rows than a textbook's Adam.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import RatingHead
from mfserve_registry.spec import KerasConfig
from mfserve_trainer.engines import network_pictures
from mfserve_trainer.engines.base import Fitted, ReportEpoch, require_finite
from mfserve_trainer.engines.foldin import choose_regularization
from mfserve_trainer.engines.shuffled import epochs_of
from mfserve_trainer.engines.training_log import TrainingLog
from mfserve_trainer.ratings import Ratings

Floats = NDArray[np.float32]

VALIDATION_BATCH = 8192


def fit(
    ratings: Ratings, config: KerasConfig, *, seed: int, report: ReportEpoch, log_dir: Path | None
) -> Fitted[RatingHead]:
    """Trains the head; see ``engines.fit_rating``."""
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    mean = float(np.mean(ratings.rating, dtype=np.float64)) if config.biases else 0.0
    network = build(len(ratings.user_ids), len(ratings.item_ids), mean, config)
    training, validation = _parts(ratings, config, seed)

    with TrainingLog("rating", config.epochs, report, None) as log:
        head_now = partial(_head, network, ratings, mean, config)
        _train(network, ratings, training, validation, config, seed, log, head_now, log_dir)

    head = head_now()
    artifacts = (*log.artifacts(), *network_pictures.of(network))
    keras.backend.clear_session()
    return Fitted(head, artifacts)


def build(users: int, items: int, mean: float, config: KerasConfig) -> keras.Model:
    """The network: inputs int32 (B, 1) users and (B, 1) items, output float32 (B, 1) ratings."""
    user = keras.Input((1,), dtype="int32", name="user")
    item = keras.Input((1,), dtype="int32", name="item")
    constraint = keras.constraints.NonNeg() if config.non_negative else None
    output = keras.layers.Dot(axes=1, name="dot")(
        [
            _row_of(item, items, config.factors, "item", config, constraint),
            _row_of(user, users, config.factors, "user", config, constraint),
        ]
    )
    if config.biases:
        biases = [_row_of(user, users, 1, "user_bias", config), _row_of(item, items, 1, "item_bias", config)]
        output = keras.layers.Add(name="with_biases")([output, *biases])
        output = keras.layers.Rescaling(1.0, offset=mean, name="with_mean")(output)
    return keras.Model([user, item], output, name="matrix_factorization")


def _row_of(
    index: keras.KerasTensor,
    size: int,
    length: int,
    name: str,
    config: KerasConfig,
    constraint: keras.constraints.Constraint | None = None,
) -> keras.KerasTensor:
    """The row of an embedding (size + 1, length), flattened to (B, length).

    Keras averages an activity penalty over the batch, so a row is penalised as often as it is rated: a whole epoch
    adds l2 · Σ_u n_u ‖p_u‖², the same weighting as ALS.
    """
    embedding = keras.layers.Embedding(
        size + 1,
        length,
        embeddings_constraint=constraint,
        activity_regularizer=keras.regularizers.L2(config.l2) if config.l2 else None,
        name=f"{name}_embedding",
    )
    return keras.layers.Flatten(name=f"{name}_flat")(embedding(index))


def _train(
    network: keras.Model,
    ratings: Ratings,
    training: NDArray[np.intp],
    validation: NDArray[np.intp],
    config: KerasConfig,
    seed: int,
    log: TrainingLog,
    head_now: Callable[[], RatingHead],
    log_dir: Path | None,
) -> None:
    batches, steps = epochs_of(
        ratings, training, batch_size=config.batch_size, epochs=config.epochs, seed=seed
    )
    network.compile(
        optimizer=keras.optimizers.Adam(config.learning_rate),
        loss="mean_squared_error",
        metrics=["mae", "mse"],
        # A step is a few small operations, and what it costs is the way from Python into TensorFlow and back:
        # taking that way once an epoch makes an epoch about four times as fast. XLA gained nothing on top.
        steps_per_execution=steps,
        jit_compile=False,
    )
    callbacks: list[keras.callbacks.Callback] = [
        keras.callbacks.LambdaCallback(on_epoch_end=lambda _, logs: log.epoch(_as_floats(logs), head_now))
    ]
    if log_dir is not None:
        callbacks.append(keras.callbacks.TensorBoard(str(log_dir / "rating")))
    validation_data = None
    if len(validation):
        patience = config.early_stopping_patience
        callbacks.append(
            keras.callbacks.EarlyStopping("val_loss", patience=patience, restore_best_weights=True)
        )
        inputs = [ratings.user_index[validation, None], ratings.item_index[validation, None]]
        validation_data = (inputs, ratings.rating[validation])
    network.fit(
        batches,
        epochs=config.epochs,
        steps_per_epoch=steps,
        shuffle=False,  # the batches are shuffled already
        validation_data=validation_data,
        validation_batch_size=VALIDATION_BATCH,
        callbacks=callbacks,
        verbose=0,
    )


def _parts(ratings: Ratings, config: KerasConfig, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows to train on, and rows to stop early by.

    Each user's and item's first row, in a random order, is trained on, for an embedding without any row would stay
    as it was initialised. On data so small that nothing else is left, the validation part is empty, and the training
    does not stop early.
    """
    rows = np.arange(len(ratings))
    if config.early_stopping_patience is None:
        return rows, rows[:0]
    order = np.random.default_rng(seed).permutation(rows)
    spare = np.ones(len(order), dtype=np.bool_)
    for index in (ratings.user_index, ratings.item_index):
        spare[np.unique(index[order], return_index=True)[1]] = False
    validation = order[spare][: round(config.validation_fraction * len(order))]
    return np.setdiff1d(rows, validation), validation


def _head(network: keras.Model, ratings: Ratings, mean: float, config: KerasConfig) -> RatingHead:
    users, items = len(ratings.user_ids), len(ratings.item_ids)
    user_factors = _embedding(network, "user", users)
    item_factors = _embedding(network, "item", items)
    user_biases, item_biases = np.zeros(users, np.float32), np.zeros(items, np.float32)
    if config.biases:
        user_biases = _embedding(network, "user_bias", users)[:, 0]
        item_biases = _embedding(network, "item_bias", items)[:, 0]
    require_finite("keras", user_factors, item_factors, user_biases, item_biases)
    return RatingHead(
        intercept=mean,
        user_biases=np.ascontiguousarray(user_biases),
        item_biases=np.ascontiguousarray(item_biases),
        user_factors=user_factors,
        item_factors=item_factors,
        regularization=config.l2
        or choose_regularization(ratings, item_factors, item_biases, mean, config.biases),
        folds_bias=config.biases,
    )


def _embedding(network: keras.Model, name: str, size: int) -> Floats:
    """float32 (size, length), without the embedding's additional last row, which no rating trains."""
    (table,) = network.get_layer(f"{name}_embedding").get_weights()
    return np.ascontiguousarray(table[:size], dtype=np.float32)


def _as_floats(logs: dict[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in logs.items()}
