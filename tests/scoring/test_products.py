"""Both layouts of a matrix product hold the same scores and find the same ones above a cut."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mfserve_scoring.products import FEW, multiply, room_for

SIZES = st.tuples(st.integers(1, FEW), st.integers(1, 5000), st.integers(1, 70))


@settings(max_examples=100, deadline=None)
@given(SIZES, st.booleans(), st.integers(0, 2**32 - 1))
def test_scores_and_what_is_above_a_cut_are_those_of_a_plain_product(
    sizes: tuple[int, int, int], by_item: bool, seed: int
) -> None:
    rows, columns, factors = sizes
    random = np.random.default_rng(seed)
    # Small whole numbers, of which every order of summation makes the same.
    users = random.integers(-4, 5, (rows, factors)).astype(np.float32)
    items = random.integers(-4, 5, (columns, factors)).astype(np.float32)
    room = np.full(room_for(rows, columns), np.inf, dtype=np.float32)
    expected = users @ items.T
    scores = multiply(users, items, room, by_item=by_item)
    assert np.array_equal(scores.matrix, expected)
    cut = random.choice(expected.reshape(-1), rows)
    user, item = scores.above(cut)
    assert {*zip(user.tolist(), item.tolist(), strict=True)} == {
        (int(row), int(column)) for row, column in np.argwhere(expected > cut[:, None])
    }
    for row in range(rows):
        found = item[user == row]
        assert (found[1:] > found[:-1]).all()


@given(SIZES, SIZES)
def test_more_users_or_items_never_need_less_room(
    few: tuple[int, int, int], many: tuple[int, int, int]
) -> None:
    users, items = max(few[0], many[0]), max(few[1], many[1])
    assert room_for(few[0], few[1]) <= room_for(users, items)
