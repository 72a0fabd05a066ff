"""Looks for an order of concurrent calls in which each gets the answer that it got (linearizability).

The search is that of Wing and Gong, "Testing and verifying concurrent objects" (1993): a call that ended before another
began comes before it, and one whose end nobody saw may have happened at any time after it began, or never. What Lowe,
"Testing for linearizability" (2017), adds: the same calls are not followed twice from the same state.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

State = TypeVar("State", bound=Hashable)
Operation = tuple[Any, ...]
Step = Callable[[State, Operation], tuple[State, Any]]
"""What an operation makes of a state, and what it answers."""


@dataclass(frozen=True)
class Call:
    """One call, with times by a clock that all callers share.

    Attributes:
        ended: when its answer was there; None: nobody knows whether it happened.
        answer: nothing where ``ended`` is None.
    """

    operation: Operation
    began: int
    ended: int | None = None
    answer: Any = None
    caller: str = ""


class NotLinearizable(AssertionError):
    """No order explains the answers."""


def order_of(history: Sequence[Call], start: State, step: Step[State]) -> list[Call]:
    """An order that explains all answers; calls without one are in it where they must have happened.

    Raises:
        NotLinearizable: there is none; the message has the longest that was found, and what cannot follow it.
    """
    calls = sorted(history, key=lambda call: call.began)
    answered = sum(1 << place for place, call in enumerate(calls) if call.ended is not None)

    def followers(taken: int, state: State) -> Iterator[tuple[int, int, State]]:
        """What may come next after the calls in the bit set ``taken``: its place, the new set, the new state."""
        until: float = inf  # the first end of a call that is not taken: what begins later has to wait for it
        first = (~taken & (taken + 1)).bit_length() - 1
        for place in range(first, len(calls)):
            call = calls[place]
            if call.began > until:
                return
            if taken >> place & 1:
                continue
            after, answer = step(state, call.operation)
            if call.ended is not None:
                until = min(until, call.ended)
            # One that nobody saw and that changes nothing explains nothing.
            if after != state if call.ended is None else answer == call.answer:
                yield place, taken | 1 << place, after

    seen = {(0, start)}
    # Each entry: the place of the call that led here, the state it led to, what may follow and was not yet tried.
    path = [(-1, start, followers(0, start))]
    longest: list[int] = []
    taken = 0
    while answered & ~taken:
        for place, now, after in path[-1][2]:
            if (now, after) not in seen:
                seen.add((now, after))
                path.append((place, after, followers(now, after)))
                taken = now
                if len(path) > len(longest):
                    longest = [entry[0] for entry in path]
                break
        else:
            if len(path) == 1:
                raise NotLinearizable(_told(calls, longest[1:], start, step))
            taken &= ~(1 << path.pop()[0])
    return [calls[place] for place, _, _ in path[1:]]


def _told(calls: Sequence[Call], order: Sequence[int], state: State, step: Step[State]) -> str:
    for place in order:
        state, _ = step(state, calls[place].operation)
    left = [call for place, call in enumerate(calls) if place not in order and call.ended is not None]
    until = min(call.ended for call in left if call.ended is not None)
    lines = ["These calls have no order. The longest beginning of one ends with"]
    lines += [f"  {_line(calls[place])}" for place in order[-10:]]
    lines += [f"and comes to {state}. None of these can be next:"]
    lines += [
        f"  {_line(call)}, but {step(state, call.operation)[1]}" for call in left if call.began <= until
    ]
    return "\n".join(lines)


def _line(call: Call) -> str:
    answer = "no answer" if call.ended is None else call.answer
    return f"{call.caller} {call.operation} [{call.began}, {call.ended}]: {answer}"
