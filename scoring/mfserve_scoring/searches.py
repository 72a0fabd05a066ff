"""Searches that answer several questions at once, and that questions may join at any time.

The matrix product that a search mostly consists of takes hardly longer for several users than for one. But whoever came
while a search was under way would have to wait for its end, and then for as long again. So a search that takes long
goes round the items in parts, as a lift goes round the floors: between two parts new questions get on, and those that
have been all around get off with their answer, wherever they began. (Scans of tables are shared so in databases:
Harizopoulos, Shkapenyuk and Ailamaki 2005, "QPipe: A Simultaneously Pipelined Relational Query Engine", section 4.3.1,
"circular scans".)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from mfserve_scoring.answers import Recommendations
from mfserve_scoring.exact import Doubles, Indices
from mfserve_scoring.predictor import Predictor
from mfserve_scoring.queries import Query, Question, answer_together, found_in_part
from mfserve_scoring.topk import ExactTopK

T = TypeVar("T")


class Progress(NamedTuple, Generic[T]):
    """What a step has come to.

    Attributes:
        answers: those that are complete, with their tickets; the questions are no longer under way.
        seconds: that all searches would take, each the whole way round, as this step went; with what new questions took
            before it.
        share: of that way that was gone, above 0 to 1: of the longest search.
    """

    answers: Sequence[tuple[T, Recommendations]]
    seconds: float
    share: float


@dataclass(slots=True)
class _Rider(Generic[T]):
    """A question on its way round.

    Attributes:
        ticket: whose it is.
        left: parts that it has still to see.
        items, scores: the best of those that it has seen, as many as are wanted: int32 and float64 (found,), by
            descending score, equal ones in ascending order of the item.
    """

    ticket: T
    query: Query
    left: int
    items: Indices = field(default_factory=lambda: np.empty(0, dtype=np.int32))
    scores: Doubles = field(default_factory=lambda: np.empty(0))

    @property
    def reached(self) -> float:
        """What an item must score to be among the best; -inf while there is room for any."""
        return self.scores.item(-1) if len(self.scores) == self.query.limit else -np.inf

    def take(self, items: Indices, scores: Doubles) -> None:
        """Takes in items that it had not seen."""
        items, scores = np.concatenate((self.items, items)), np.concatenate((self.scores, scores))
        order = np.lexsort((items, -scores))[: self.query.limit]
        self.items, self.scores = items[order], scores[order]


class Searches(Generic[T]):
    """Searches of one recommender that are under way. For one thread at a time.

    A question comes with a ticket, by which its answer is known. Answers are those of ``Recommender.answer``, bit for
    bit.

    Args:
        resolve: makes a query of a question; InvalidArgument, FailedPrecondition.
        predictor: predicts the ratings of what is found; None where the snapshot has no rating head.
    """

    def __init__(self, resolve: Callable[[Question], Query], predictor: Predictor | None) -> None:
        self._resolve = resolve
        self._predictor = predictor
        self._rounds: dict[tuple[ExactTopK, int, int], _Round[T]] = {}
        self._resolving = 0.0

    def __len__(self) -> int:
        """Questions that are under way."""
        return sum(len(each.riders) for each in self._rounds.values())

    @property
    def staying(self) -> int:
        """Questions that will be under way after the next step, if no other is added."""
        return sum(rider.left > 1 for each in self._rounds.values() for rider in each.riders)

    @property
    def parts(self) -> int:
        """Steps that the longest search takes; 1 where none is under way."""
        return max((each.parts for each in self._rounds.values()), default=1)

    @property
    def tickets(self) -> list[T]:
        """Of the questions that are under way."""
        return [rider.ticket for each in self._rounds.values() for rider in each.riders]

    def add(self, ticket: T, question: Question) -> None:
        """From the next step on the question is among those that are answered. Raises what ``resolve`` does."""
        begun = time.monotonic()
        query = self._resolve(question)
        self._resolving += time.monotonic() - begun
        found = self._rounds.setdefault(query.group, _Round(query.parts))
        found.riders.append(_Rider(ticket, query, query.parts))

    def drop(self, is_gone: Callable[[T], bool]) -> None:
        """Takes out the questions whose tickets are those of callers who have gone."""
        for each in self._rounds.values():
            each.riders = [rider for rider in each.riders if not is_gone(rider.ticket)]
        self._leave_empty()

    def step(self) -> Progress[T]:
        """Goes one part on in each search.

        Whatever is raised is a defect. Which questions are still under way is not known then: ask for ``tickets``
        before.
        """
        answers: list[tuple[T, Recommendations]] = []
        seconds, parts = self._resolving, self.parts
        self._resolving = 0.0
        for each in self._rounds.values():
            begun = time.monotonic()
            answers += each.step(self._predictor)
            seconds += each.parts * (time.monotonic() - begun)
        self._leave_empty()
        return Progress(answers, seconds, 1 / parts)

    def _leave_empty(self) -> None:
        self._rounds = {group: each for group, each in self._rounds.items() if each.riders}


class _Round(Generic[T]):
    """One search.

    Attributes:
        parts: steps that it takes.
        riders: the questions that it answers.
    """

    def __init__(self, parts: int) -> None:
        self.parts = parts
        self._part = 0
        self.riders: list[_Rider[T]] = []

    def step(self, predictor: Predictor | None) -> list[tuple[T, Recommendations]]:
        """Goes one part on. Returns the answers that are complete."""
        riders, self.riders = self.riders, []
        if self.parts == 1:
            answers = answer_together([rider.query for rider in riders], predictor)
            return [(rider.ticket, found) for rider, found in zip(riders, answers, strict=True)]
        reached = np.array([rider.reached for rider in riders])
        found = found_in_part([rider.query for rider in riders], self._part, reached)
        self._part = (self._part + 1) % self.parts
        for rider, (items, scores) in zip(riders, found, strict=True):
            if len(items):
                rider.take(items, scores)
            rider.left -= 1
        self.riders = [rider for rider in riders if rider.left]
        off = [rider for rider in riders if not rider.left]
        return [(rider.ticket, rider.query.found(rider.items, rider.scores, predictor)) for rider in off]
