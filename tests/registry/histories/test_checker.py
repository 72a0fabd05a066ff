"""The checker agrees with brute force, and with what is known of some histories."""

from __future__ import annotations

from itertools import combinations, permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.registry.histories.checker import Call, NotLinearizable, Operation, order_of


def register(value: int, operation: Operation) -> tuple[int, Any]:
    """A number that is read, written, and swapped where it is as expected."""
    match operation:
        case ("read",):
            return value, value
        case ("write", new):
            return new, None
        case _:
            _, expected, new = operation
            return (new, True) if value == expected else (value, False)


def linearizable(*history: Call) -> bool:
    try:
        order = order_of(history, 0, register)
    except NotLinearizable:
        return False
    assert explains(order, history)
    return True


def explains(order: list[Call], history: tuple[Call, ...]) -> bool:
    """Whether the calls, one after another in this order, come to these answers, and none is missing or out of time."""
    if not {call for call in history if call.ended is not None} <= set(order):
        return False
    value = 0
    for place, call in enumerate(order):
        value, answer = register(value, call.operation)
        if call.ended is not None and answer != call.answer:
            return False
        if any(later.ended is not None and later.ended < call.began for later in order[place + 1 :]):
            return False
    return True


def by_brute_force(history: tuple[Call, ...]) -> bool:
    return any(
        explains(list(order), history)
        for size in range(len(history) + 1)
        for chosen in combinations(history, size)
        for order in permutations(chosen)
    )


@pytest.mark.parametrize(
    "history",
    [
        [],
        [Call(("write", 1), 0, 1), Call(("read",), 2, 3, 1)],
        # At the same time: either may be first.
        [Call(("write", 1), 0, 9), Call(("read",), 2, 3, 0), Call(("read",), 4, 5, 1)],
        # Both writes are under way when the reads see them in turn.
        [
            Call(("write", 1), 0, 9),
            Call(("write", 2), 0, 9),
            Call(("read",), 1, 2, 2),
            Call(("read",), 3, 4, 1),
        ],
        # Nobody heard of the write, and it happened, or did not, or happens much later.
        [Call(("write", 1), 0), Call(("read",), 2, 3, 1)],
        [Call(("write", 1), 0), Call(("read",), 2, 3, 0)],
        [Call(("write", 1), 0), Call(("read",), 2, 3, 0), Call(("read",), 4, 5, 1)],
        [Call(("swap", 0, 1), 0, 5, True), Call(("swap", 0, 2), 0, 5, False), Call(("read",), 6, 7, 1)],
    ],
)
def test_histories_that_have_an_order(history: list[Call]) -> None:
    assert linearizable(*history)


@pytest.mark.parametrize(
    "history",
    [
        [Call(("read",), 0, 1, 1)],
        # A stale read.
        [Call(("write", 1), 0, 1), Call(("read",), 2, 3, 0)],
        # The new value, and then the old one again.
        [Call(("write", 1), 0, 9), Call(("read",), 2, 3, 1), Call(("read",), 4, 5, 0)],
        # Two who both swapped from the same value.
        [Call(("swap", 0, 1), 0, 5, True), Call(("swap", 0, 2), 0, 5, True)],
        # Nobody had begun to write what was read.
        [Call(("read",), 0, 1, 1), Call(("write", 1), 2)],
        # It happened, and may not happen again.
        [Call(("write", 1), 0), Call(("read",), 1, 2, 1), Call(("write", 0), 3, 4), Call(("read",), 5, 6, 1)],
    ],
)
def test_histories_that_have_none(history: list[Call]) -> None:
    assert not linearizable(*history)


def calls() -> st.SearchStrategy[Call]:
    operations = st.one_of(
        st.tuples(st.just(("read",)), st.integers(0, 2)),
        st.tuples(st.tuples(st.just("write"), st.integers(0, 2)), st.none()),
        st.tuples(st.tuples(st.just("swap"), st.integers(0, 2), st.integers(0, 2)), st.booleans()),
    )

    def made(operation: tuple[Operation, Any], began: int, lasts: int, lost: bool, number: int) -> Call:
        what, answer = operation
        ended, answer = (None, None) if lost else (began + lasts, answer)
        return Call(what, began, ended, answer, f"caller {number}")

    lost = st.sampled_from([False, False, False, True])
    return st.builds(made, operations, st.integers(0, 9), st.integers(0, 9), lost, st.integers(0, 10**9))


@given(st.lists(calls(), max_size=5, unique_by=lambda call: call.caller).map(tuple))
def test_agrees_with_brute_force(history: tuple[Call, ...]) -> None:
    assert linearizable(*history) == by_brute_force(history)


def test_says_how_far_it_came() -> None:
    history = [Call(("write", 1), 0, 1, caller="one"), Call(("read",), 2, 3, 0, caller="two")]
    with pytest.raises(NotLinearizable, match=r"one \('write', 1\)(.|\n)*comes to 1(.|\n)*two .*: 0, but 1"):
        order_of(history, 0, register)


def test_many_lost_calls_are_no_trouble() -> None:
    """Each of them may happen at any later time: without a memory of what was tried, that is beyond all time."""
    lost = [Call(("swap", 0, 1), number, caller=str(number)) for number in range(20)]
    back = [Call(("write", 0), 100 + 2 * number, 101 + 2 * number) for number in range(40)]
    assert linearizable(*lost, *back)
