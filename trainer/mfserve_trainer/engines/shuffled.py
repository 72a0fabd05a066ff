"""Feeds a Keras network its rows, shuffled anew each epoch, faster than ``Model.fit`` does it from arrays.

An epoch is shuffled and cut into batches by a handful of large operations; ``fit`` itself would gather every batch
by one small operation each.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mfserve_trainer.ratings import Ratings


def epochs_of(
    ratings: Ratings, rows: NDArray[np.intp], *, batch_size: int, epochs: int, seed: int
) -> tuple[tf.data.Dataset, int]:
    """All epochs one after another, and the number of batches in each.

    Batches are ``((users, items), ratings)`` with int32 (B, 1) and float32 (B,); the last one of an epoch holds what
    remains. An epoch's order depends on ``seed`` and the epoch's number alone.
    """
    columns = tuple(
        tf.constant(column[rows]) for column in (ratings.user_index, ratings.item_index, ratings.rating)
    )
    size = len(rows)
    whole = size - size % batch_size

    def epoch(number: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(tf.range(size), seed=tf.stack([seed, number]))
        shuffled = [tf.gather(column, order) for column in columns]
        batches = tf.data.Dataset.from_tensor_slices(
            tuple(tf.reshape(column[:whole], (-1, batch_size)) for column in shuffled)
        )
        if whole == size:
            return batches
        return batches.concatenate(tf.data.Dataset.from_tensors(tuple(column[whole:] for column in shuffled)))

    dataset = tf.data.Dataset.range(epochs).flat_map(epoch).map(_as_network_input)
    return dataset, -(-size // batch_size)


def _as_network_input(
    users: tf.Tensor, items: tf.Tensor, ratings: tf.Tensor
) -> tuple[tuple[tf.Tensor, tf.Tensor], tf.Tensor]:
    return (users[:, tf.newaxis], items[:, tf.newaxis]), ratings
