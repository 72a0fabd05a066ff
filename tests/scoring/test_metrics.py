"""Metrics against their definitions, written as loops, and against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfserve_registry.snapshot import RatedItems
from mfserve_scoring.metrics import coverage, mae, mse, ndcg, recall, rmse
from tests.registry.snapshot.samples import rated_items


def rankings(rows: list[list[int]]) -> RatedItems:
    indptr = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return RatedItems(indptr, np.array([item for row in rows for item in row], dtype=np.int32))


def test_errors_of_ratings() -> None:
    predicted = np.array([3.0, 4.0, 1.0], dtype=np.float32)
    actual = np.array([4.0, 2.0, 1.0], dtype=np.float32)
    assert mse(predicted, actual) == pytest.approx(5 / 3)
    assert rmse(predicted, actual) == pytest.approx(math.sqrt(5 / 3))
    assert mae(predicted, actual) == pytest.approx(1)


@pytest.mark.parametrize(("left", "right"), [(0, 0), (2, 3)])
def test_errors_need_pairs(left: int, right: int) -> None:
    with pytest.raises(ValueError, match="one length above 0"):
        mse(np.zeros(left), np.zeros(right))


def test_rankings_worked_out_by_hand() -> None:
    ranked = rankings([[7, 3, 5], [1, 2], [9], []])
    relevant = rated_items([[3, 4, 5, 6], [1], [], [2]])
    # User 0: hits at ranks 2 and 3; user 1: a hit at rank 1; user 2 has nothing relevant; user 3 got nothing.
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    gained = 1 / math.log2(3) + 1 / 2
    assert ndcg(ranked, relevant, 3) == pytest.approx((gained / ideal + 1 + 0) / 3)
    assert recall(ranked, relevant, 3) == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert recall(ranked, relevant, 1) == pytest.approx((0 + 1 + 0) / 3)
    assert coverage(ranked, 10, 3) == pytest.approx(0.6)
    assert coverage(ranked, 10, 1) == pytest.approx(0.3)


lists = st.lists(st.lists(st.integers(0, 12), unique=True, max_size=8), min_size=5, max_size=5)


@settings(deadline=None)
@given(lists, lists, st.integers(1, 10))
def test_rankings_against_the_definitions(ranked: list[list[int]], wanted: list[list[int]], n: int) -> None:
    gains, recalls = [], []
    for row, relevant in zip(ranked, wanted, strict=True):
        if relevant:
            dcg = sum(1 / math.log2(rank + 2) for rank, item in enumerate(row[:n]) if item in relevant)
            gains.append(dcg / sum(1 / math.log2(rank + 2) for rank in range(min(n, len(relevant)))))
            recalls.append(len({*row[:n]} & {*relevant}) / min(n, len(relevant)))
    found = ndcg(rankings(ranked), rated_items(wanted), n), recall(rankings(ranked), rated_items(wanted), n)
    if gains:
        assert found == pytest.approx((np.mean(gains), np.mean(recalls)))
    else:
        assert np.isnan(found).all()
    shown = {item for row in ranked for item in row[:n]}
    assert coverage(rankings(ranked), 13, n) == len(shown) / 13


def test_rankings_of_other_users_are_refused() -> None:
    with pytest.raises(ValueError, match="same users"):
        ndcg(rankings([[1]]), rated_items([[1], [2]]), 5)
