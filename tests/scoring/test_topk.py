"""Top-k against the brute-force oracle."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mfserve_registry.snapshot import RatedItems
from mfserve_scoring.exact import dots, row_norms, to_float32
from mfserve_scoring.excluded import Excluded, column_of
from mfserve_scoring.margin import Margin
from mfserve_scoring.topk import CHUNK, ExactTopK, TopK
from tests.registry.snapshot.samples import rated_items
from tests.scoring.oracle import best, scores_of
from tests.scoring.strategies import matrices

NOTHING = np.empty(0, dtype=np.int32)


def rows_of(top: TopK) -> list[tuple[list[int], bytes]]:
    """Each row's items, and the bits of its scores."""
    ends = np.cumsum(top.counts)
    return [
        (top.indices[end - count : end].tolist(), top.scores[end - count : end].tobytes())
        for end, count in zip(ends, top.counts, strict=True)
    ]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_equals_the_oracle_alone_and_in_any_batch(data: st.DataObject) -> None:
    factors = data.draw(st.sampled_from([1, 2, 3, 7, 8, 9, 20, 33]), label="factors")
    items = data.draw(matrices(st.integers(1, 60), factors), label="items")
    users = data.draw(matrices(st.integers(1, 6), factors), label="users")
    n = len(items)
    limit = data.draw(st.integers(1, 70), label="limit")
    some = st.lists(st.integers(0, n - 1), max_size=n)
    seen = [sorted(set(data.draw(some | st.just(list(range(n)))))) for _ in users]
    everywhere = np.array(data.draw(some), dtype=np.int32)
    bias = data.draw(st.none() | matrices(st.just(n), 1), label="bias")
    bias = None if bias is None else bias[:, 0]
    offsets = None if bias is None else data.draw(matrices(st.just(len(users)), 1))[:, 0].astype(np.float64)
    chunk = data.draw(st.sampled_from([1, 2, 7, 16, CHUNK]), label="chunk")
    if data.draw(st.booleans(), label="strided"):
        items = np.repeat(items, 2, axis=0)[::2]
        items.setflags(write=False)

    rated = rated_items(seen)
    search = ExactTopK(items, bias=bias, chunk=chunk)
    together = rows_of(
        search.search(
            users,
            limit,
            offsets=offsets,
            excluded=Excluded.seen(rated, np.arange(len(users)), everywhere),
        )
    )
    for row, user in enumerate(users):
        offset = 0.0 if offsets is None else float(offsets[row])
        scores = scores_of(user, items, bias, offset)
        left_out = {*seen[row], *everywhere.tolist()}
        expected = best(scores, limit, left_out)
        assert together[row] == (expected, scores[expected].tobytes())
        alone = search.search(
            users[row : row + 1],
            limit,
            offsets=None if offsets is None else offsets[row : row + 1],
            excluded=Excluded(np.concatenate((rated.of(row), everywhere))),
        )
        assert rows_of(alone) == [together[row]]


@pytest.mark.parametrize(("limit", "chunk"), [(1, CHUNK), (10, CHUNK), (10, 1024), (1000, CHUNK)])
def test_equals_the_oracle_over_several_chunks_and_blocks_of_users(limit: int, chunk: int) -> None:
    random = np.random.default_rng(3)
    items = random.standard_normal((2 * CHUNK + 77, 5)).astype(np.float32)
    items[CHUNK:] *= 1.5  # later chunks win over earlier ones
    items[CHUNK + 5] = items[5]
    users = random.standard_normal((1100, 5)).astype(np.float32)
    users[7] = 0
    rated = rated_items([sorted(random.choice(len(items), 30, replace=False).tolist()) for _ in users])
    search = ExactTopK(items, chunk=chunk)
    rows = rows_of(search.search(users, limit, excluded=Excluded.seen(rated, np.arange(1100), NOTHING)))
    for row in (0, 7, 255, 256, 1023, 1024, 1099):
        scores = scores_of(users[row], items)
        scores[rated.of(row)] = -np.inf
        expected = np.lexsort((np.arange(len(items)), -scores))[:limit]
        assert rows[row] == (expected.tolist(), scores[expected].tobytes())


@pytest.mark.parametrize("chunk", [50, CHUNK])
def test_items_closer_than_float32_can_tell_are_in_the_right_order(chunk: int) -> None:
    """Without the margin, selecting by float32 scores loses some of the best here."""
    random = np.random.default_rng(17)
    lost = 0
    for _ in range(30):
        steps = random.integers(-3, 4, (400, 24)) * 2.0**-23
        items = (random.standard_normal(24) * (1 + steps)).astype(np.float32)
        user = random.standard_normal((1, 24)).astype(np.float32)
        scores = scores_of(user[0], items)
        expected = best(scores, 10)
        assert ExactTopK(items, chunk=chunk).search(user, 10).indices.tolist() == expected
        lost += len({*expected} - {*best((user @ items.T)[0], 10)})
    assert lost > 30


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_all_parts_from_any_of_them_on_are_the_whole(data: st.DataObject) -> None:
    """Whole numbers tie often; and a user of zeros is above no bound."""
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    n, rows, limit = (
        data.draw(st.integers(1, 60)),
        data.draw(st.integers(1, 5)),
        data.draw(st.integers(1, 12)),
    )
    items = random.integers(-2, 3, (n, 3)).astype(np.float32)
    users = random.integers(-1, 2, (rows, 3)).astype(np.float32)
    users[0] = 0
    bias = data.draw(st.sampled_from([None, np.zeros(n, dtype=np.float32)]))
    offsets = None if bias is None else random.standard_normal(rows)
    seen = [sorted(random.choice(n, random.integers(0, n + 1), replace=False).tolist()) for _ in users]
    excluded = Excluded.seen(rated_items(seen), np.arange(rows), NOTHING)
    chunk, part = data.draw(st.sampled_from([1, 3, CHUNK])), data.draw(st.integers(1, 30))
    search = ExactTopK(items, bias=bias, chunk=chunk, part=part)
    begin = data.draw(st.integers(0, search.parts - 1))
    found: list[list[tuple[float, int]]] = [[] for _ in users]
    for step in range(search.parts):
        reached = np.array([-each[-1][0] if len(each) == limit else -np.inf for each in found])
        top = search.search_part(
            (begin + step) % search.parts, users, limit, reached, offsets=offsets, excluded=excluded
        )
        end = 0
        for row, count in enumerate(top.counts.tolist()):
            new = zip(
                (-top.scores[end : end + count]).tolist(),
                top.indices[end : end + count].tolist(),
                strict=True,
            )
            found[row] = sorted([*found[row], *new])[:limit]
            end += count
    whole = search.search(users, limit, offsets=offsets, excluded=excluded)
    assert [item for each in found for _, item in each] == whole.indices.tolist()
    assert [-score for each in found for score, _ in each] == whole.scores.tolist()


def test_all_items_excluded_gives_nothing() -> None:
    items = np.ones((4, 2), dtype=np.float32)
    for rows in (1, 3):
        top = ExactTopK(items).search(
            np.ones((rows, 2), dtype=np.float32), 2, excluded=Excluded(np.arange(4, dtype=np.int32))
        )
        assert top.counts.tolist() == [0] * rows
        assert len(top.indices) == len(top.scores) == 0


def test_no_users_give_no_rows() -> None:
    top = ExactTopK(np.ones((4, 2), dtype=np.float32)).search(np.empty((0, 2), dtype=np.float32), 3)
    assert (len(top.indices), len(top.scores), len(top.counts)) == (0, 0, 0)


def test_ties_go_by_the_index_even_where_every_item_ties() -> None:
    items = np.zeros((3 * CHUNK, 4), dtype=np.float32)
    top = ExactTopK(items).search(np.ones((2, 4), dtype=np.float32), 5)
    assert top.indices.tolist() == [0, 1, 2, 3, 4] * 2


def test_a_single_row_does_not_depend_on_its_neighbours() -> None:
    """What ``dots`` promises, for every length up to several times a processor's vectors."""
    random = np.random.default_rng(11)
    for factors in [*range(1, 70), 127, 128, 129, 512, 1024]:
        left = random.standard_normal((37, factors)).astype(np.float32)
        right = random.standard_normal((37, factors)).astype(np.float32)
        together = dots(left, right)
        alone = [dots(left[row : row + 1], right[row : row + 1])[0] for row in range(37)]
        assert together.tobytes() == np.array(alone).tobytes()
        strided = dots(np.asfortranarray(left), np.repeat(right, 2, axis=1)[:, ::2])
        assert together.tobytes() == strided.tobytes()
        one_to_all = dots(left[:1], right)
        assert one_to_all.tobytes() == dots(np.repeat(left[:1], 37, axis=0), right).tobytes()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_order_of_summation_leaves_the_margin(data: st.DataObject) -> None:
    factors = data.draw(st.integers(1, 40))
    items = data.draw(matrices(st.integers(1, 20), factors))
    user = data.draw(matrices(st.just(1), factors))
    bias = data.draw(matrices(st.just(len(items)), 1))[:, 0]
    margin = Margin.of(row_norms(items), factors=factors, bias=bias, scale=None).of_users(
        user.astype(np.float64), None
    )[1][0]
    exact = scores_of(user[0], items, bias)
    order = data.draw(st.permutations(range(factors)))
    with np.errstate(over="ignore", invalid="ignore"):
        forms = [items @ user[0] + bias, one_by_one(user[0], items, order) + bias]
    for rounded in forms:
        # An infinite margin says that float32 may overflow; otherwise it must not have.
        assert np.isinf(margin) or (np.abs(rounded.astype(np.float64) - exact) <= margin).all()


def one_by_one(
    user: NDArray[np.float32], items: NDArray[np.float32], order: list[int]
) -> NDArray[np.float32]:
    """The worst kind of sum: term after term, in a given order, rounded to float32 each time."""
    total = np.zeros(len(items), dtype=np.float32)
    for factor in order:
        total = total + items[:, factor] * user[factor]
    return total


def test_scores_beyond_float32_become_its_largest_number() -> None:
    largest = float(np.finfo(np.float32).max)
    rounded = to_float32(np.array([1e300, -1e300, 0.5, largest]))
    assert rounded.tolist() == [largest, -largest, 0.5, largest]
    assert rounded.dtype == np.float32


def test_excluded_items_are_those_of_the_rated_items() -> None:
    rated = rated_items([[0, 2], [], [1]])
    excluded = Excluded.seen(rated, np.array([2, -1, 0, 1, 2]), np.array([5], dtype=np.int32))
    counts, item = excluded.counted()
    assert counts.tolist() == [1, 0, 2, 0, 1]
    assert item.tolist() == [1, 0, 2, 1]
    counts, item = excluded.take(slice(2, 5)).counted()
    assert counts.tolist() == [2, 0, 1]
    assert item.tolist() == [0, 2, 1]
    assert [excluded.of(row).tolist() for row in range(5)] == [[1, 5], [5], [0, 2, 5], [5], [1, 5]]


def test_excluded_items_have_their_column_in_every_chunk_or_the_one_behind() -> None:
    items = np.array([0, 3, 4, 6, 7, 2**31 - 1], dtype=np.int32)
    assert column_of(items, 4, 3).tolist() == [3, 3, 0, 2, 3, 3]


def test_nobody_rated_anything() -> None:
    empty = RatedItems(np.zeros(3, dtype=np.int64), NOTHING)
    top = ExactTopK(np.eye(2, dtype=np.float32)).search(
        np.eye(2, dtype=np.float32), 1, excluded=Excluded.seen(empty, np.array([0, 1]), NOTHING)
    )
    assert top.indices.tolist() == [0, 1]
