"""How like two lists of recommended items are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from mfserve_scoring.likeness import kendall_tau, likeness

pairs = st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=2, max_size=30)


@given(pairs)
def test_kendall_s_tau_is_scipy_s(rows: list[tuple[int, int]]) -> None:
    first, second = np.array(rows, dtype=np.float64).T
    expected = kendalltau(first, second, variant="b").statistic
    found = kendall_tau(first, second)
    if found is None:
        assert math.isnan(expected)
    else:
        assert found == pytest.approx(expected, abs=1e-12)


def scores(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float32)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"a": 3, "b": 2, "c": 1}, {"a": 3, "b": 2, "c": 1}, (1, 1, 0)),
        ({"a": 3, "b": 2, "c": 1}, {"c": 4, "b": 3, "a": 2}, (1, -1, 1)),
        ({"a": 3, "b": 2}, {"b": 5, "x": 4}, (1 / 2, None, 3)),
        ({"a": 3, "b": 2}, {"x": 5, "y": 4}, (0, None, None)),
        ({"a": 3, "b": 2, "c": 1, "d": 0}, {"b": 1}, (1 / 4, None, -1)),
        ({"a": 3}, {}, (0, None, None)),
        ({"a": 2, "b": 2}, {"a": 2, "b": 1}, (1, None, -0.5)),
    ],
)
def test_what_lists_have_in_common(
    first: dict[str, float], second: dict[str, float], expected: tuple[float, float | None, float | None]
) -> None:
    found = likeness(list(first), scores(*first.values()), list(second), scores(*second.values()))
    assert found == pytest.approx(expected)
