"""Questions that join a search at any time, against the same ones alone."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfserve_registry.errors import InvalidArgument, RegistryError
from mfserve_registry.snapshot import SnapshotContent
from mfserve_scoring import Question, Recommendations, Recommender
from mfserve_scoring.topk import ExactTopK
from tests.registry.snapshot.samples import random_content
from tests.scoring.snapshots import opened
from tests.scoring.test_queries import alone, questions
from tests.scoring.test_recommender import bits, hard_contents


def defaults(made: type) -> dict[str, Any]:
    """Those of the arguments that are given by name, to be changed for a while."""
    found: dict[str, Any] = inspect.unwrap(made.__init__).__kwdefaults__  # type: ignore[misc] # of this very class
    return found


def in_parts(content: SnapshotContent, part: int, chunk: int) -> Recommender:
    """Its searches have so small parts, as if its catalogue were large."""
    with pytest.MonkeyPatch.context() as small:
        small.setitem(defaults(ExactTopK), "part", part)
        small.setitem(defaults(ExactTopK), "chunk", chunk)
        recommender = Recommender(opened(content))
        for head in ("_by_ranking", "_by_rating", "_by_popularity"):
            getattr(recommender, head)  # made at the first use
    return recommender


@settings(max_examples=200, deadline=None)
@given(hard_contents(), st.integers(1, 9), st.sampled_from([1, 3, 8192]), st.data())
def test_whenever_a_question_comes_it_gets_what_it_gets_alone(
    content: SnapshotContent, part: int, chunk: int, data: st.DataObject
) -> None:
    recommender = in_parts(content, part, chunk)
    parts = -(-len(content.item_ids) // part)
    some = st.lists(questions(len(content.user_ids), len(content.item_ids)), max_size=4)
    searches = recommender.searches()
    expected: dict[int, tuple[int, Recommendations]] = {}
    added = 0
    coming = data.draw(st.lists(some, min_size=1, max_size=8))
    for step, newcomers in enumerate(coming + [[]] * parts):
        for question in newcomers:
            found = alone(recommender, question)
            if isinstance(found, RegistryError):
                with pytest.raises(type(found)):
                    searches.add(added, question)
            else:
                searches.add(added, question)
                expected[added] = step + parts, found
            added += 1
        assert sorted(searches.tickets) == sorted(expected)
        staying = searches.staying
        for ticket, answer in searches.step().answers:
            when, found = expected.pop(ticket)
            assert step + 1 == when
            assert bits(answer) == bits(found)
        assert len(searches) == staying
    assert not expected
    assert not searches


def test_who_has_gone_is_not_answered() -> None:
    recommender = in_parts(random_content(3, users=20, items=40), 10, 8192)
    searches = recommender.searches()
    for user in ("u1", "u2", "u3"):
        searches.add(user, Question(user, 5))
    assert not searches.step().answers
    searches.drop(lambda user: user == "u2")
    assert searches.parts == 4
    assert [[user for user, _ in searches.step().answers] for _ in range(3)] == [[], [], ["u1", "u3"]]
    assert (len(searches), searches.parts) == (0, 1)


def test_a_step_tells_how_long_the_whole_takes() -> None:
    searches = in_parts(random_content(3, users=20, items=40), 10, 8192).searches()
    assert searches.step() == ([], 0.0, 1.0)
    searches.add("u1", Question("u1", 5))
    _, seconds, share = searches.step()
    assert seconds > 0
    assert share == 0.25


def test_what_is_wrong_with_a_question_is_told_when_it_comes() -> None:
    searches = Recommender(opened(random_content(3, users=20, items=40))).searches()
    with pytest.raises(InvalidArgument):
        searches.add("wrong", Question("u1", 0))
    assert not searches
    assert not searches.step().answers


def test_a_search_that_may_end_early_has_one_part() -> None:
    content = random_content(3, users=5, items=1000)
    assert content.ranking is not None
    assert ExactTopK(content.ranking.item_factors, part=100).parts == 10
    descending = content.ranking.item_factors.copy()
    descending[700:] *= 0.1
    assert ExactTopK(descending, part=100).parts == 1
