import hashlib

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.spec import KeyedHashSplit, NoSplit, RandomSplit, RatingScale
from mfserve_trainer.ratings import Ratings, from_rows
from mfserve_trainer.splits import hold_out_by_key, split

Pair = tuple[str, str]
IDS = st.text("ab0\N{LATIN SMALL LETTER E WITH ACUTE}", min_size=1, max_size=3)
PAIRS = st.lists(st.tuples(IDS, IDS), min_size=1, max_size=30, unique=True)


def ratings_of(pairs: list[Pair]) -> Ratings:
    users, items = zip(*pairs, strict=True)
    return from_rows(users, items, np.ones(len(pairs)), scale=RatingScale(minimum=1, maximum=5))


def grid(users: int, items: int) -> Ratings:
    return ratings_of([(f"u{user}", f"i{item}") for user in range(users) for item in range(items)])


def held_out(pairs: list[Pair], how: KeyedHashSplit) -> set[Pair]:
    return {pair for pair, out in zip(pairs, hold_out_by_key(ratings_of(pairs), how), strict=True) if out}


@given(PAIRS, PAIRS, st.floats(0.01, 0.99), st.randoms(use_true_random=False))
def test_a_pair_is_held_out_or_not_whatever_other_rows_there_are(
    pairs: list[Pair], more: list[Pair], fraction: float, random: object
) -> None:
    how = KeyedHashSplit(fraction=fraction)
    together = list(dict.fromkeys([*more, *pairs]))
    random.shuffle(together)  # type: ignore[attr-defined]  # hypothesis types its Random as object
    assert held_out(together, how) & set(pairs) == held_out(pairs, how)


@given(PAIRS, st.floats(0.01, 0.99), st.floats(0.01, 0.99))
def test_a_larger_fraction_holds_out_all_that_a_smaller_does(pairs: list[Pair], a: float, b: float) -> None:
    small, large = sorted((a, b))
    assert held_out(pairs, KeyedHashSplit(fraction=small)) <= held_out(pairs, KeyedHashSplit(fraction=large))


@pytest.mark.parametrize(
    "how", [KeyedHashSplit(fraction=0.5), RandomSplit(fraction=0.5), NoSplit()], ids=lambda how: how.kind
)
def test_the_two_parts_are_all_rows_once(how: KeyedHashSplit | RandomSplit | NoSplit) -> None:
    for items in range(7, 40):
        parts = split(grid(3, items), how)
        assert sorted([*parts.train_rows, *parts.holdout_rows]) == list(range(3 * items))


@pytest.mark.parametrize("fraction", [0.05, 0.2, 0.5, 0.9])
def test_keyed_hash_holds_out_the_fraction_evenly(fraction: float) -> None:
    ratings = grid(400, 250)
    out = hold_out_by_key(ratings, KeyedHashSplit(fraction=fraction))
    n = len(ratings)
    # Five standard deviations of a binomial; the key is fixed, so this either always holds or never.
    assert abs(out.sum() - n * fraction) < 5 * (n * fraction * (1 - fraction)) ** 0.5
    for index, size in ((ratings.user_index, 400), (ratings.item_index, 250)):
        counts = np.bincount(index, weights=out, minlength=size)
        expected = n / size * fraction
        chi_square = ((counts - expected) ** 2 / (expected * (1 - fraction))).sum()
        assert abs(chi_square - size) < 5 * (2 * size) ** 0.5


def test_users_and_items_do_not_play_the_same_part() -> None:
    names = [f"n{i}" for i in range(60)]
    pairs = [(a, b) for a in names for b in names]
    out = held_out(pairs, KeyedHashSplit(fraction=0.5))
    swapped = {(b, a) for a, b in out}
    assert 0.4 < len(out & swapped) / len(out) < 0.6


def test_another_key_holds_out_other_rows() -> None:
    ratings = grid(100, 100)
    one = hold_out_by_key(ratings, KeyedHashSplit(fraction=0.5, key="a"))
    other = hold_out_by_key(ratings, KeyedHashSplit(fraction=0.5, key="é" * 64))
    assert 0.48 < (one == other).mean() < 0.52


def number_of(user: str, item: str, key: str) -> int:
    """The documented hash once more, one pair at a time in Python's integers."""
    secret = hashlib.blake2b(key.encode(), digest_size=32).digest()

    def of_id(identifier: str, side: bytes) -> int:
        digest = hashlib.blake2b(identifier.encode(), digest_size=8, key=secret, person=side).digest()
        return int.from_bytes(digest, "little")

    def mix(z: int) -> int:
        z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        z = (z ^ (z >> 27)) * 0x94D049BB133111EB % 2**64
        return z ^ (z >> 31)

    return mix((of_id(user, b"user") + mix(of_id(item, b"item"))) % 2**64)


@given(PAIRS, st.floats(0.01, 0.99), st.text(min_size=1, max_size=64))
def test_the_keyed_hash_is_the_documented_one(pairs: list[Pair], fraction: float, key: str) -> None:
    expected = {pair for pair in pairs if number_of(*pair, key) < int(fraction * 2.0**64)}
    assert held_out(pairs, KeyedHashSplit(fraction=fraction, key=key)) == expected


def test_the_keyed_hash_is_fixed() -> None:
    # Versions are compared on rows held out long ago: the hash may never change.
    out = hold_out_by_key(grid(8, 8), KeyedHashSplit(fraction=0.25))
    assert np.packbits(out).tobytes().hex() == "2204090601443b20"


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_random_is_scikit_learns_split_of_the_frame_in_file_order(seed: int) -> None:
    ratings = grid(13, 7)
    frame = pd.DataFrame({"row": range(len(ratings))})
    train, test = train_test_split(frame, test_size=0.2, random_state=seed)
    parts = split(ratings, RandomSplit(fraction=0.2, seed=seed))
    assert parts.train_rows.tolist() == train["row"].tolist()
    assert parts.holdout_rows.tolist() == test["row"].tolist()


def test_none_trains_on_everything() -> None:
    parts = split(grid(1, 1), NoSplit())
    assert parts.train_rows.tolist() == [0]
    assert len(parts.holdout_rows) == 0


@pytest.mark.parametrize(
    ("how", "rows"),
    [
        (KeyedHashSplit(), 1),
        (KeyedHashSplit(fraction=0.999), 3),
        (KeyedHashSplit(fraction=0.001), 3),
        (RandomSplit(), 1),
        (RandomSplit(fraction=0.99), 2),
    ],
)
def test_too_few_rows_say_so_and_what_to_do(how: KeyedHashSplit | RandomSplit, rows: int) -> None:
    with pytest.raises(InvalidArgument, match='split "none"') as caught:
        split(grid(1, rows), how)
    assert caught.value.reason == "DATASET_TOO_SMALL"


def test_two_rows_can_be_split() -> None:
    parts = split(grid(1, 2), RandomSplit())
    assert len(parts.train_rows) == len(parts.holdout_rows) == 1
