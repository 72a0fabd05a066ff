"""The line through the durations of searches, against numpy's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfserve_server.admission.durations import SearchTimes

SEARCHES = st.lists(st.tuples(st.integers(1, 256), st.floats(1e-4, 1.0)), min_size=2, max_size=60)


def learnt(searches: list[tuple[int, float]]) -> SearchTimes:
    times = SearchTimes()
    for questions, seconds in searches:
        times.note(questions, seconds)
    return times


@given(SEARCHES)
def test_it_is_the_weighted_least_squares_line(searches: list[tuple[int, float]]) -> None:
    n, seconds = np.array(searches).T
    weights = 0.95 ** np.arange(len(searches))[::-1]
    found = [learnt(searches).expected(each) for each in (1, 64, 256)]
    if np.ptp(n) == 0:
        assert found == pytest.approx([np.average(seconds, weights=weights)] * 3)
        return
    slope, intercept = np.polyfit(n, seconds, 1, w=np.sqrt(weights))
    if slope < 0:  # noise: more never take less
        assert found == pytest.approx([np.average(seconds, weights=weights)] * 3)
    else:
        expected = [max(intercept + slope * each, 0.0) for each in (1, 64, 256)]
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_nothing_is_expected_before_the_first_search() -> None:
    assert SearchTimes().expected(10) == 0.0


def test_a_change_is_learnt_within_a_hundred_searches() -> None:
    times = learnt([(number % 8 + 1, 0.001) for number in range(500)])
    for number in range(100):
        times.note(number % 8 + 1, 0.1)
    assert times.expected(4) == pytest.approx(0.1, rel=0.02)
