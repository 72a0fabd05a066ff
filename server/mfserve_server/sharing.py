"""Scores calls together that wait at the same time.

One user's scores of a large catalogue cost one walk through the memory that holds it. Several users' cost hardly more:
a matrix product walks once for all. So whenever the scoring thread is free it takes every question that waits for one
version and answers all by one search. A caller who is alone is scored at once.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from mfserve_registry.errors import Overloaded
from mfserve_scoring import Question, Recommendations, Recommender
from mfserve_server.admission.arrivals import Arrivals
from mfserve_server.admission.durations import SearchTimes
from mfserve_server.executors import Executors
from mfserve_server.loading import LoadedVersion
from mfserve_server.metrics.layout import SEARCH_DURATION, SEARCH_QUESTIONS
from mfserve_server.metrics.page import Page
from mfserve_server.outcomes import attempt

_log = structlog.get_logger(__name__)

RETURN_SHARE = 0.1
"""Longest wait for callers to come back, as a part of the time that scoring them took."""

_TICKS = 2e-3
"""Seconds below which a timer is no use: uvloop's tell whole milliseconds, rounded. So short a wait is spent in turns
of the event loop."""

_SHEDDING_SECONDS = 1.0
"""So long after a refusal the next one is expected."""

Answer = Recommendations | Exception


class Waiting(NamedTuple):
    """A question whose caller waits, since when by ``time.monotonic``."""

    loaded: LoadedVersion
    question: Question
    future: asyncio.Future[Recommendations]
    since: float


class SharedScoring:
    """Answers questions in the scoring thread, those of one version together. Lives on the event loop.

    Callers who were answered together tend to ask again together. The first of them to come back does not start a
    search of its own, which the others would have to wait for: it waits for as many as there were, but not for long.

    Args:
        most: most questions in one search; 1: each is answered by itself.
        max_delay: seconds after which a question must be answered; one that is expected to take longer, by how long
            searches have taken, is refused at once, before it costs anything.
        page: where searches are counted.
    """

    def __init__(
        self, executors: Executors, most: int, max_delay: float = math.inf, page: Page | None = None
    ) -> None:
        page = page or Page()
        self._durations = page.histogram(SEARCH_DURATION)
        self._questions = page.histogram(SEARCH_QUESTIONS)
        self._executors = executors
        self._most = most
        self._max_delay = max_delay
        self._busy_until = 0.0
        self._sheds_until = 0.0
        self._arrivals = Arrivals()
        self._waiting: deque[Waiting] = deque()
        self._taken: list[Waiting] = []
        self._running: asyncio.Task[None] | None = None
        self._expected = 0
        self._all_back = asyncio.Event()

    async def answer(self, loaded: LoadedVersion, question: Question) -> Recommendations:
        """What the version's recommender gives to the question. A caller who hangs up before its turn is not scored.

        Raises:
            Overloaded: OVERLOADED.
        """
        self._refuse_if_late(loaded)
        future: asyncio.Future[Recommendations] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(loaded, question, future, time.monotonic()))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        elif len(self._waiting) >= self._expected:
            self._all_back.set()
        return await future

    def sheds(self) -> bool:
        """Whether a question was refused within the last second."""
        return time.monotonic() < self._sheds_until

    async def _run(self) -> None:
        try:
            while self._waiting:
                begun = time.monotonic()
                answered = await self._executors.scoring(self._score)
                if answered:
                    self._note(answered[0][0].loaded, len(answered), time.monotonic() - begun)
                for waiting, outcome in answered:
                    _tell(waiting.future, outcome)
                self._taken = []  # or their version would stay until the next call
                if len(answered) > 1:
                    await self._let_return(len(answered), RETURN_SHARE * (time.monotonic() - begun))
        finally:
            self._running = None
            # Only where the server stops, or by a defect: what still waits will not be scored.
            for waiting in (*self._taken, *tuple(self._waiting)):
                waiting.future.cancel()

    def _note(self, loaded: LoadedVersion, questions: int, seconds: float) -> None:
        loaded.scorer.times.note(questions, seconds)
        self._durations.observe(seconds)
        self._questions.observe(questions)

    def _refuse_if_late(self, loaded: LoadedVersion) -> None:
        now = time.monotonic()
        self._arrivals.note(now)
        delay = self._delay(loaded.scorer.times, now)
        # Whoever finds nobody here is scored, however long that takes.
        if delay > self._max_delay and self._running is not None:
            self._sheds_until = now + _SHEDDING_SECONDS
            error = Overloaded("This server has more to score than it can in time; try again.")
            # Not for secrets: any jitter will do, so that those who are refused do not come back together.
            error.retry_seconds = delay * random.uniform(0.5, 1.5)  # noqa: S311
            raise error

    def _delay(self, times: SearchTimes, now: float) -> float:
        """Seconds until a newcomer would be answered, or those who wait already with the newcomer among them.

        A newcomer waits for the search under way, and is then scored with all who wait by then: those who do now and,
        at the rate of late, those who are still to come. That search must not be late for who has waited longest.
        """
        turn = max(self._busy_until - now, 0.0)
        together = len(self._waiting) + 1
        each = times.expected(min(together + self._arrivals.rate * turn, self._most))
        waited = 0.0
        with suppress(IndexError):  # none waits, or the scoring thread takes them just now
            waited = now - self._waiting[0].since
        return turn + max(waited + each, math.ceil(together / self._most) * each)

    async def _let_return(self, callers: int, seconds: float) -> None:
        self._expected = callers
        self._all_back.clear()
        until = time.monotonic() + seconds
        if seconds >= _TICKS:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._all_back.wait()
        while len(self._waiting) < callers and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0)

    def _score(self) -> list[tuple[Waiting, Answer]]:
        """Called in the scoring thread, so that it takes all that have come until the thread was free."""
        taken = self._taken = self._take()
        if not taken:
            return []
        self._busy_until = time.monotonic() + taken[0].loaded.scorer.times.expected(len(taken))
        questions = [waiting.question for waiting in taken]
        return list(zip(taken, answer_each(taken[0].loaded.recommender, questions), strict=True))

    def _take(self) -> list[Waiting]:
        """The longest waiting question, and others of its version; the rest keeps its order.

        The event loop appends meanwhile; a deque's ends may be used from two threads.
        """
        taken: list[Waiting] = []
        others: list[Waiting] = []
        for _ in range(len(self._waiting)):
            if len(taken) == self._most:
                break
            waiting = self._waiting.popleft()
            if waiting.future.done():  # hung up, or the deadline has passed
                continue
            same = not taken or waiting.loaded.scorer is taken[0].loaded.scorer
            (taken if same else others).append(waiting)
        self._waiting.extendleft(reversed(others))
        return taken


def answer_each(
    recommender: Recommender, questions: Sequence[Question], *, fewest: int = 1
) -> Sequence[Answer]:
    """The answers to questions that one version is asked; whatever one does to the search, the others are answered.

    Args:
        fewest: questions from which on one search for all is quicker than one for each.
    """
    if len(questions) >= fewest:
        try:
            return recommender.answer_each(questions)
        except Exception:  # noqa: BLE001 - whose question it was is found out
            _log.warning("search together failed", questions=len(questions), exc_info=True)
    return [attempt(recommender.answer, question) for question in questions]


def _tell(future: asyncio.Future[Recommendations], outcome: Answer) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
