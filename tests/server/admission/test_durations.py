"""What searches of one size tell of those of another."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfserve_server.admission.durations import SearchTimes

SIZES = st.lists(st.integers(1, 256), min_size=1, max_size=60)
FIXED, EACH = 0.03, 0.002


def takes(questions: float) -> float:
    return FIXED + EACH * questions


@given(SIZES, st.integers(1, 256))
def test_a_size_that_was_not_seen_is_bounded_by_those_that_were(seen: list[int], asked: int) -> None:
    times = SearchTimes()
    for questions in seen:
        times.note(questions, takes(questions))
    expected = times.longest(asked)
    assert expected >= takes(asked) / 2 * (1 - 1e-9)
    nearest = min(seen, key=lambda questions: max(questions / asked, asked / questions))
    assert expected <= takes(nearest) * max(asked / nearest, 1.5)


def test_a_batch_of_two_does_not_keep_from_daring_larger_ones() -> None:
    """A product of matrices takes longer than one user's walk, but hardly more for sixteen than for two."""
    times, largest = SearchTimes(), 1
    times.note(1, 0.03)
    while times.longest(largest + 1) < 0.09:
        largest += 1
        times.note(largest, 0.06 + 0.001 * largest)
    assert 28 <= largest <= 40


def test_nothing_is_expected_before_the_first_search() -> None:
    assert SearchTimes().longest(10) == 0.0


def test_a_size_is_told_by_its_searches() -> None:
    times, chance = SearchTimes(), random.Random(0)
    for _ in range(100):
        times.note(16, 0.1 * chance.uniform(0.9, 1.1))
    assert 0.11 < times.longest(16) < 0.13  # mean deviation: 0.005


def test_hardly_a_search_takes_longer_than_is_told() -> None:
    times, chance, longer = SearchTimes(), random.Random(1), 0
    for count in range(2000):
        seconds = 0.1 * chance.lognormvariate(0.0, 0.2)
        longer += count >= 100 and seconds > times.longest(16)
        times.note(16, seconds)
    assert longer < 0.05 * 1900
    assert times.longest(16) < 0.2


def test_a_change_is_learnt_for_the_sizes_that_come_and_the_others_are_forgotten() -> None:
    times = SearchTimes()
    for questions in (1, 4, 16, 64):
        times.note(questions, 0.001)
    for _ in range(1000):
        times.note(16, 0.1)
    assert times.longest(16) == pytest.approx(0.1, rel=0.01)
    assert times.longest(24) == pytest.approx(0.1, rel=0.01)
    assert times.longest(64) == pytest.approx(0.2, rel=0.01)


def test_fewer_questions_take_no_longer() -> None:
    times = SearchTimes()
    times.note(2, 0.2)  # by chance
    times.note(8, 0.06)
    assert times.longest(2) == pytest.approx(0.06)


def test_the_parts_of_a_search_count_as_one() -> None:
    whole, parts = SearchTimes(), SearchTimes()
    for times, count in ((whole, 1), (parts, 8)):
        times.note(16, 0.1)
        for _ in range(10 * count):
            times.note(16, 0.2, 1 / count)
    assert parts.longest(16) == pytest.approx(whole.longest(16), rel=0.05)
