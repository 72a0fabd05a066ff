"""Questions answered together, against the same ones alone (which ``test_recommender`` holds to the oracle)."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfserve_registry.errors import FailedPrecondition, InvalidArgument, RegistryError
from mfserve_registry.snapshot import SnapshotContent
from mfserve_scoring import Basis, Head, Question, Recommendations, Recommender
from tests.registry.snapshot.samples import random_content
from tests.scoring.snapshots import opened
from tests.scoring.test_recommender import bits, hard_contents


@st.composite
def questions(draw: st.DrawFn, users: int, items: int) -> Question:
    """Known users, unknown ones, and histories, with options of their own; some are refused."""
    item_ids = st.sampled_from([*(f"i{number}" for number in range(items)), "unknown"])
    history = st.lists(st.tuples(item_ids, st.sampled_from([1.0, 2.5, 5.0, 9.0])), min_size=1, max_size=4)
    user = st.sampled_from([*(f"u{number}" for number in range(users)), "?"])
    return Question(
        draw(user | history),
        draw(st.integers(0, items + 2)),
        draw(st.lists(item_ids, max_size=items)),
        draw(st.booleans()),
        draw(st.sampled_from(Head)),
    )


def alone(recommender: Recommender, question: Question) -> Recommendations | RegistryError:
    try:
        return recommender.answer(question)
    except RegistryError as error:
        return error


@settings(max_examples=100, deadline=None)
@given(hard_contents(), st.data())
def test_together_each_gets_what_it_gets_alone(content: SnapshotContent, data: st.DataObject) -> None:
    recommender = Recommender(opened(content))
    asked = data.draw(st.lists(questions(len(content.user_ids), len(content.item_ids)), max_size=12))
    for question, found in zip(asked, recommender.answer_each(asked), strict=True):
        expected = alone(recommender, question)
        if isinstance(expected, RegistryError):
            assert isinstance(found, RegistryError)
            assert (type(found), found.message, found.field) == (
                type(expected),
                expected.message,
                expected.field,
            )
        else:
            assert isinstance(found, Recommendations)
            assert bits(found) == bits(expected)


def test_what_is_wrong_with_one_question_leaves_the_others_alone() -> None:
    recommender = Recommender(opened(random_content(3, users=20, items=40, ranking=False)))
    found = recommender.answer_each(
        [
            Question("u1", 5),
            Question("u2", 0),
            Question("u3", 5, head=Head.RANKING),
            Question([("i1", 77.0)], 5),
            Question([("i1", 5.0)], 7),
            Question("nobody", 3),
        ]
    )
    assert [type(each) for each in found] == [
        Recommendations,
        InvalidArgument,
        FailedPrecondition,
        InvalidArgument,
        Recommendations,
        Recommendations,
    ]
    answers = [each for each in found if isinstance(each, Recommendations)]
    assert [each.basis for each in answers] == [Basis.MODEL, Basis.FOLD_IN, Basis.POPULARITY]
    assert [len(each.item_indices) for each in answers] == [5, 7, 3]


@pytest.mark.parametrize("head", Head)
def test_no_array_of_an_answer_is_shared(head: Head) -> None:
    recommender = Recommender(opened(random_content(3, users=20, items=40)))
    first, second = recommender.answer_each([Question("u1", 5, head=head), Question("u1", 5, head=head)])
    assert isinstance(first, Recommendations)
    assert isinstance(second, Recommendations)
    first.item_indices[:] = -1
    first.scores[:] = -1
    assert bits(second) == bits(recommender.recommend("u1", 5, head=head))
