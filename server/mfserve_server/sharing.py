"""Scores calls together that come at about the same time.

One user's scores of a large catalogue cost one walk through the memory that holds it. Several users' cost hardly more:
a matrix product walks once for all. So the scoring thread has one search for all who ask one version. Where a search
takes long, newcomers join it on its way (see ``Searches``); where it does not, they wait for its end and are then
scored together. A caller who is alone is scored at once.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from mfserve_registry.errors import Overloaded
from mfserve_scoring import Progress, Question, Recommendations, Recommender, Searches
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


class _UnderWay(NamedTuple):
    """What one version is asked."""

    loaded: LoadedVersion
    searches: Searches[Waiting]


class _Ahead(NamedTuple):
    """What newcomers find before them of one version.

    Attributes:
        times: of its searches.
        staying: questions that will be under way when newcomers get on.
    """

    times: SearchTimes
    staying: int


class SharedScoring:
    """Answers questions in the scoring thread, those of one version together. Lives on the event loop.

    Callers who were answered together tend to ask again together. The first of them to come back does not start a
    search of its own, which the others would have to wait for, or would be a part behind: it waits for as many as
    there were, but not for long.

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
        self._sheds_until = 0.0
        self._waiting: deque[Waiting] = deque()
        self._running: asyncio.Task[None] | None = None
        self._expected = 0
        self._all_back = asyncio.Event()
        self._futures: set[asyncio.Future[Recommendations]] = set()
        # The scoring thread's; by the scorer's identity. What follows it puts in place as a whole for the event loop.
        self._under_way: dict[int, _UnderWay] = {}
        self._ahead: Mapping[int, _Ahead] = {}
        self._step_until = 0.0
        # Taken from those who wait, and not yet among those who are under way in ``_ahead``.
        self._getting_on = 0

    async def answer(self, loaded: LoadedVersion, question: Question) -> Recommendations:
        """What the version's recommender gives to the question. A caller who hangs up is scored no further.

        Raises:
            Overloaded: OVERLOADED.
        """
        self._refuse_if_late(loaded)
        future: asyncio.Future[Recommendations] = asyncio.get_running_loop().create_future()
        self._futures.add(future)
        future.add_done_callback(self._futures.discard)
        self._waiting.append(Waiting(loaded, question, future, time.monotonic()))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        elif len(self._waiting) >= self._expected:
            self._all_back.set()
        return await future

    def sheds(self) -> bool:
        """Whether a question was refused within the last second."""
        return time.monotonic() < self._sheds_until

    def _refuse_if_late(self, loaded: LoadedVersion) -> None:
        now = time.monotonic()
        delay = self._delay(loaded, now)
        # Whoever finds nobody here is scored, however long that takes.
        if delay > self._max_delay and self._running is not None:
            self._sheds_until = now + _SHEDDING_SECONDS
            error = Overloaded("This server has more to score than it can in time; try again.")
            # Not for secrets: any jitter will do, so that those who are refused do not come back together.
            error.retry_seconds = delay * random.uniform(0.5, 1.5)  # noqa: S311
            raise error

    def _delay(self, loaded: LoadedVersion, now: float) -> float:
        """Seconds until a newcomer would be answered, or those who wait already with the newcomer among them.

        They wait for the end of the step under way, and then go all the way round with who is still there; what other
        versions are asked goes on in turns with that.
        """
        ahead, key = self._ahead, id(loaded.scorer)
        step = max(self._step_until - now, 0.0)
        together = (ahead[key].staying if key in ahead else 0) + self._getting_on + len(self._waiting) + 1
        others = [each for of, each in ahead.items() if of != key and each.staying]
        each = loaded.scorer.times.longest(min(together, self._most))
        each += sum(other.times.longest(other.staying) for other in others)
        waited = 0.0
        with suppress(IndexError):  # none waits, or the scoring thread takes them just now
            waited = now - self._waiting[0].since
        return step + max(waited + each, math.ceil(together / self._most) * each)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting or self._under_way:
                begun = time.monotonic()
                answered = await self._executors.scoring(self._work, loop)
                if answered > 1:
                    await self._let_return(answered, RETURN_SHARE * (time.monotonic() - begun))
        except Exception:  # noqa: BLE001 - nobody awaits us; the callers are let go of below
            _log.exception("scoring failed")
        finally:
            self._running = None
            # Only where the server stops, or by a defect: what still waits will not be scored.
            for future in tuple(self._futures):
                future.cancel()

    async def _let_return(self, callers: int, seconds: float) -> None:
        self._expected = callers
        self._all_back.clear()
        until = time.monotonic() + seconds
        if seconds >= _TICKS and len(self._waiting) < callers:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._all_back.wait()
        while len(self._waiting) < callers and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(0)

    def _work(self, loop: asyncio.AbstractEventLoop) -> int:
        """Called in the scoring thread. It goes once round at most: others want the thread, too.

        Returns:
            How many were answered last, where nothing is under way that they could join when they come back.
        """
        try:
            self._take_in(loop)
            steps = max((each.searches.parts for each in self._under_way.values()), default=1)
            answered = self._step(loop)
            for _ in range(steps - 1):
                self._take_in(loop)
                answered = self._step(loop)
        except BaseException:
            self._under_way, self._ahead, self._getting_on = {}, {}, 0
            raise
        return 0 if self._under_way else answered

    def _take_in(self, loop: asyncio.AbstractEventLoop) -> None:
        """Whoever waits, as far as there is room in their version's searches; the rest keeps its order.

        The event loop appends meanwhile; a deque's ends may be used from two threads.
        """
        others: list[Waiting] = []
        for _ in range(len(self._waiting)):
            waiting = self._waiting.popleft()
            if waiting.future.done():  # hung up, or the deadline has passed
                continue
            searches = self._searches(waiting.loaded)
            if len(searches) >= self._most:
                others.append(waiting)
                continue
            self._getting_on += 1
            wrong = attempt(searches.add, waiting, waiting.question)
            if wrong is not None:
                loop.call_soon_threadsafe(_settle, [(waiting, wrong)])
        self._waiting.extendleft(reversed(others))

    def _searches(self, loaded: LoadedVersion) -> Searches[Waiting]:
        found = self._under_way.get(id(loaded.scorer))
        if found is None:
            found = self._under_way[id(loaded.scorer)] = _UnderWay(loaded, loaded.recommender.searches())
        return found.searches

    def _step(self, loop: asyncio.AbstractEventLoop) -> int:
        """One step of all searches; how many questions that has answered."""
        for _, searches in self._under_way.values():
            searches.drop(lambda waiting: waiting.future.done())
        self._leave_empty()
        self._step_until = time.monotonic() + sum(
            loaded.scorer.times.longest(len(searches)) / searches.parts
            for loaded, searches in self._under_way.values()
        )
        self._ahead = {
            key: _Ahead(loaded.scorer.times, searches.staying)
            for key, (loaded, searches) in self._under_way.items()
        }
        self._getting_on = 0
        answered = sum(self._advance(each, loop) for each in self._under_way.values())
        self._leave_empty()
        self._ahead = {
            key: _Ahead(loaded.scorer.times, len(searches))
            for key, (loaded, searches) in self._under_way.items()
        }
        return answered

    def _leave_empty(self) -> None:
        self._under_way = {key: each for key, each in self._under_way.items() if each.searches}

    def _advance(self, under_way: _UnderWay, loop: asyncio.AbstractEventLoop) -> int:
        """One step of one version's searches; whatever one question does to a search, the others are answered."""
        loaded, searches = under_way
        tickets = searches.tickets
        try:
            progress = searches.step()
        except Exception:  # noqa: BLE001 - whose question it was is found out
            _log.warning("search together failed", questions=len(tickets), exc_info=True)
            searches.drop(lambda _: True)
            for each in tickets:
                outcome = attempt(loaded.recommender.answer, each.question)
                loop.call_soon_threadsafe(_settle, [(each, outcome)])
            return len(tickets)
        loaded.scorer.times.note(len(tickets), progress.seconds, progress.share)
        loop.call_soon_threadsafe(self._tell, len(tickets), progress)
        return len(progress.answers)

    def _tell(self, together: int, progress: Progress[Waiting]) -> None:
        """Called on the event loop."""
        if progress.answers:
            self._durations.observe(progress.seconds)
            self._questions.observe(together)
        _settle(progress.answers)


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


def _settle(answered: Sequence[tuple[Waiting, Answer]]) -> None:
    for waiting, outcome in answered:
        if waiting.future.done():
            continue
        if isinstance(outcome, Exception):
            waiting.future.set_exception(outcome)
        else:
            waiting.future.set_result(outcome)
