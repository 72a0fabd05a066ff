"""Divides ratings into rows to train on and rows to be measured on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.spec import KeyedHashSplit, NoSplit, RandomSplit
from mfserve_trainer.hashing import hash_ids, mix
from mfserve_trainer.ratings import Ratings

Rows = NDArray[np.intp]

_CHUNK_ROWS = 1 << 20


@dataclass(frozen=True, slots=True)
class Split:
    """Two disjoint sets of row numbers that together are all rows.

    Attributes:
        train_rows: (a,), at least one.
        holdout_rows: (b,); empty only where nothing was to be held out.
    """

    train_rows: Rows
    holdout_rows: Rows


def split(ratings: Ratings, how: KeyedHashSplit | RandomSplit | NoSplit) -> Split:
    """Splits as the specification says.

    Raises:
        InvalidArgument: DATASET_TOO_SMALL: one of the two parts would be empty.
    """
    match how:
        case NoSplit():
            return Split(np.arange(len(ratings), dtype=np.intp), np.empty(0, dtype=np.intp))
        case RandomSplit():
            parts = _random(len(ratings), how)
        case KeyedHashSplit():
            held_out = hold_out_by_key(ratings, how)
            parts = Split(np.flatnonzero(~held_out), np.flatnonzero(held_out))
        case _:
            assert_never(how)
    if len(parts.train_rows) == 0 or len(parts.holdout_rows) == 0:
        raise _too_small(len(ratings), how.fraction)
    return parts


def hold_out_by_key(ratings: Ratings, how: KeyedHashSplit) -> NDArray[np.bool_]:
    """Bool (n,): whether a row is held out; depends on the key, the fraction, and the row's two ids alone.

    So a pair that is held out once is held out in every later training, whatever rows were added, and of two
    fractions the larger holds out all that the smaller does.

    Each id becomes 64 bits by keyed BLAKE2b (one hash an id, not one a row); a row's number is
    m(h_user + m(h_item)) modulo 2**64, m being SplitMix64's finalizer; it is held out where that is below
    fraction x 2**64.
    """
    key = hashlib.blake2b(how.key.encode(), digest_size=32).digest()
    users = hash_ids(ratings.user_ids, key, b"user")
    items = mix(hash_ids(ratings.item_ids, key, b"item"))
    limit = np.uint64(min(int(how.fraction * 2.0**64), 2**64 - 1))
    held_out = np.empty(len(ratings), dtype=np.bool_)
    for begin in range(0, len(ratings), _CHUNK_ROWS):
        rows = slice(begin, begin + _CHUNK_ROWS)
        held_out[rows] = mix(users[ratings.user_index[rows]] + items[ratings.item_index[rows]]) < limit
    return held_out


def _random(rows: int, how: RandomSplit) -> Split:
    from sklearn.model_selection import train_test_split

    if rows < 2:
        raise _too_small(rows, how.fraction)
    try:
        # Splits row numbers as it would split a data frame of the same length: order included.
        train, holdout = train_test_split(
            np.arange(rows, dtype=np.intp), test_size=how.fraction, random_state=how.seed
        )
    except ValueError as error:  # the training part would be empty
        raise _too_small(rows, how.fraction) from error
    return Split(train, holdout)


def _too_small(rows: int, fraction: float) -> InvalidArgument:
    ratings = "1 rating is" if rows == 1 else f"{rows:,} ratings are"
    return InvalidArgument(
        f"{ratings} too few to hold out a share of {fraction:g}: one part would be empty. Give more ratings, or "
        'train on all of them without metrics by the split "none".',
        reason="DATASET_TOO_SMALL",
        field="spec.split",
        metadata={"ratings": str(rows)},
    )
