"""What server processes have found about shadows: sums that add up, and are told any number of times."""

from __future__ import annotations

import statistics
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from mfserve_registry import Registry, Retention, ServerInfo
from mfserve_registry.shadowing import AnswerSums, Pair, ShadowSums, Sums
from mfserve_registry.tables import shadow_sums
from tests.places import Place
from tests.registry.helpers import EPOCH, Clock, publish

numbers = st.lists(st.floats(-100, 100), max_size=20)
PAIR = Pair("movies", 1, 2)
FOUND = ShadowSums(
    AnswerSums(
        overlap=Sums.of(0.5, 0.25),
        rank_correlation=Sums.of(None, -0.1),
        score_shift=Sums.of(0.125, -0.5),
        seconds=Sums.of(0.1, 0.2),
        other_seconds=Sums.of(0.3, 0.3),
        added_seconds=Sums.of(0.2, 0.1),
    ),
    dropped=3,
    failed=1,
)


@given(numbers, numbers)
def test_sums_give_mean_and_deviation_of_all_they_are_of(first: list[float], second: list[float]) -> None:
    both = Sums.of(*first) + Sums.of(*second, None)
    values = first + second
    assert both.count == len(values)
    assert both.mean == pytest.approx(statistics.fmean(values) if values else 0, abs=1e-9)
    assert both.deviation == pytest.approx(statistics.pstdev(values) if values else 0, abs=1e-5)


def test_processes_add_up_and_tell_again_without_being_counted_twice(registry: Registry) -> None:
    assert registry.shadowing.between("movies", 1, 2) == ShadowSums()
    more = replace(FOUND, failed=9)
    for found in (FOUND, more, more):
        registry.shadowing.put("a", {PAIR: found, Pair("movies", 1, 3): FOUND})
    registry.shadowing.put("b", {PAIR: FOUND})
    assert registry.shadowing.between("movies", 1, 2) == more + FOUND
    assert registry.shadowing.between("movies", 1, 3) == FOUND
    assert registry.shadowing.between("films", 1, 2) == ShadowSums()


def test_either_version_may_have_been_the_shadow(registry: Registry) -> None:
    registry.shadowing.put("a", {PAIR: FOUND, Pair("movies", 2, 1): FOUND})
    found = registry.shadowing.between("movies", 1, 2)
    assert (found.dropped, found.failed) == (6, 2)
    assert found.answers.overlap == Sums.of(0.5, 0.25, 0.5, 0.25)
    assert found.answers.score_shift.mean == 0
    assert found.answers.seconds.mean == pytest.approx((0.1 + 0.2 + 0.3 + 0.3) / 4)
    assert found.answers.added_seconds.mean == pytest.approx(0)
    assert registry.shadowing.between("movies", 2, 1) == found.turned()


def processes(place: Place) -> list[str]:
    """Whose rows are kept."""
    return sorted(name for (name,) in place.rows(select(shadow_sums.c.server_id)))


def test_a_collection_makes_one_row_of_processes_that_are_gone(place: Place, registry: Registry) -> None:
    registry.serving.register(ServerInfo("a", "host", 1, 0, "x:1", "0.1.0", EPOCH), timedelta(seconds=1))
    for process in "abc":
        registry.shadowing.put(process, {PAIR: FOUND})
    registry.collect(dry_run=True)
    assert processes(place) == ["a", "b", "c"]
    registry.collect()
    assert processes(place) == ["", "a"]
    assert registry.shadowing.between("movies", 1, 2) == FOUND + FOUND + FOUND
    more = replace(FOUND, failed=9)
    for process in "ad":
        registry.shadowing.put(process, {PAIR: more})
    registry.collect()
    assert processes(place) == ["", "a"]
    assert registry.shadowing.between("movies", 1, 2) == FOUND + FOUND + more + more


def test_what_was_found_of_a_deleted_version_goes_a_grace_later(
    place: Place, clock: Clock, registry: Registry
) -> None:
    for number in (1, 2, 3):
        publish(registry, f"r{number}")
    registry.shadowing.put("a", {Pair("movies", 1, 3): FOUND, Pair("movies", 3, 1): FOUND, PAIR: FOUND})
    registry.models.delete_version("movies", 3)
    grace = Retention(grace=timedelta(hours=1))
    registry.collect(grace)
    assert len(processes(place)) == 3
    clock.advance(timedelta(hours=1))
    registry.collect(grace)
    pairs = select(shadow_sums.c.version, shadow_sums.c.shadow_version)
    assert place.rows(pairs) == [(1, 2)]
