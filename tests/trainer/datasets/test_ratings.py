from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfserve_registry.spec import RatingScale
from mfserve_trainer.ratings import Ratings, from_codes, from_rows

from .samples import rows_of

FIVE_STARS = RatingScale(minimum=1, maximum=5)
IDS = st.text(min_size=1, max_size=3).filter(lambda text: text.isprintable())
ROWS = st.lists(
    st.tuples(IDS, IDS, st.integers(1, 5)), min_size=1, max_size=20, unique_by=lambda row: row[:2]
)


def ratings_of(rows: Sequence[tuple[str, str, float]], titles: Mapping[str, str] | None = None) -> Ratings:
    users, items, values = zip(*rows, strict=True)
    return from_rows(users, items, values, scale=FIVE_STARS, titles=titles)


@given(ROWS)
def test_rows_come_back_and_ids_are_sorted_by_their_bytes(rows: list[tuple[str, str, int]]) -> None:
    ratings = ratings_of(rows)
    assert rows_of(ratings) == [(user, item, float(rating)) for user, item, rating in rows]
    for ids, column in ((ratings.user_ids, 0), (ratings.item_ids, 1)):
        assert list(ids) == sorted({row[column] for row in rows}, key=lambda text: str(text).encode())


@given(ROWS, st.data())
def test_take_gives_the_rows_in_order_and_forgets_ids_that_do_not_occur(
    rows: list[tuple[str, str, int]], data: st.DataObject
) -> None:
    ratings = ratings_of(rows)
    chosen = data.draw(st.permutations(range(len(rows))))[: data.draw(st.integers(1, len(rows)))]
    part = ratings.take(np.array(chosen, dtype=np.intp))
    expected = [rows[row] for row in chosen]
    assert rows_of(part) == rows_of(ratings_of(expected))
    assert list(part.user_ids) == sorted({user for user, _, _ in expected}, key=str.encode)
    assert part.fingerprint == ratings_of(expected).fingerprint


def test_titles_stay_with_their_items() -> None:
    ratings = ratings_of([("u", "b", 1), ("u", "a", 2), ("v", "c", 3)], titles={"a": "A", "c": "C", "z": "Z"})
    assert ratings.item_titles is not None
    assert list(ratings.item_titles) == ["A", "", "C"]
    part = ratings.take(np.array([2], dtype=np.intp))
    assert part.item_titles is not None
    assert list(part.item_titles) == ["C"]


def test_fingerprint_tells_rows_apart_and_not_how_they_were_coded() -> None:
    rows = [("a", "x", 1), ("b", "y", 2)]
    fingerprint = ratings_of(rows).fingerprint
    recoded = from_codes(
        users=([2, 0], ["b", "unused", "a"]),
        items=([0, 1], ["x", "y"]),
        rating=[1, 2],
        scale=FIVE_STARS,
        name="other",
    )
    assert recoded.fingerprint == fingerprint
    for other in (
        [("b", "y", 2), ("a", "x", 1)],
        [("a", "x", 1), ("b", "y", 3)],
        [("a", "x", 1), ("b", "z", 2)],
        [("a", "x", 1)],
        [("ax", "x", 1), ("b", "y", 2)],
    ):
        assert ratings_of(other).fingerprint != fingerprint


def test_fingerprint_is_fixed() -> None:
    # Versions record it: another value for the same rows would make equal data look different.
    assert (
        ratings_of([("a", "x", 1), ("é", "y", 2.5)]).fingerprint
        == "eaf700cf815cb00ab75556d082d97ee204f9e843dc64b2dda0b202dcf611beef"
    )


def test_minus_zero_is_zero() -> None:
    scale = RatingScale(minimum=-1, maximum=1)
    assert (
        from_rows(["a"], ["x"], [-0.0], scale=scale).fingerprint
        == from_rows(["a"], ["x"], [0.0], scale=scale).fingerprint
    )


@pytest.mark.parametrize(
    ("dtype", "array"), [(np.int32, "user_index"), (np.int32, "item_index"), (np.float32, "rating")]
)
def test_dtypes(dtype: type, array: str) -> None:
    assert getattr(ratings_of([("a", "x", 1)]), array).dtype == dtype


def test_rows_set_aside_are_the_same_rows(tmp_path: Path) -> None:
    ratings = from_rows(["b", "a", "b"], ["x", "y", "y"], [1.0, 5.0, 3.0], scale=FIVE_STARS)
    aside = ratings.set_aside(tmp_path / "aside")
    for name in ("user_index", "item_index", "rating"):
        column = getattr(aside, name)
        np.testing.assert_array_equal(column, getattr(ratings, name))
        assert column.dtype == getattr(ratings, name).dtype
        assert not column.flags.writeable
    assert aside.take(np.arange(3)).fingerprint == ratings.fingerprint
