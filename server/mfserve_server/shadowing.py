"""Puts what callers ask to a shadow too, beside their path, and compares its answers with production's.

A call that was answered is noted in a bounded queue, for which its caller does not wait. A thread of low priority asks
both versions, one after the other: so their times are those of the same question in the same circumstances, and not of
a busy event loop and an idle thread.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from queue import SimpleQueue
from threading import Event, Thread
from typing import NamedTuple

import structlog

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve_registry.errors import RegistryError
from mfserve_registry.shadowing import AnswerSums, Pair, Sums
from mfserve_scoring import Question, Recommendations
from mfserve_server.catalog import Catalog
from mfserve_server.likenesses import Answer, answer_sums, knows
from mfserve_server.loading import LoadedVersion
from mfserve_server.names import which
from mfserve_server.scoring import asked
from mfserve_server.tally import Tally
from mfserve_server.threads import lower_priority

MOST_WAITING = 128
"""Calls in the queue: what comes meanwhile is dropped. More would only keep old versions loaded for longer."""
LARGEST = 1 << 12
"""Bytes of a request; what is larger is dropped, so that the queue takes 512 KiB at most."""
RESTS = 9
"""Times as long as a question took the thread rests after it, so that the interpreter, which all threads share, is
callers' nine tenths of the time, and they never wait for it longer than for one question."""

_log = structlog.get_logger(__name__)


class Waiting(NamedTuple):
    """A call that was answered, and is to be put to a shadow."""

    answering: LoadedVersion
    shadow: LoadedVersion
    request: bytes

    @property
    def pair(self) -> Pair:
        return Pair(self.answering.model, self.answering.version, self.shadow.version)


class Shadowing:
    """Asks shadows. ``offer`` is for the event loop; the rest happens in a thread.

    Args:
        catalog: knows which aliases have a shadow.
        tally: where what is found is added up.
    """

    def __init__(self, catalog: Catalog, tally: Tally) -> None:
        self._catalog = catalog
        self._tally = tally
        self._queue: SimpleQueue[Waiting | None] = SimpleQueue()
        self._closed = Event()
        self._shadow_first = False
        self._thread = Thread(target=self._run, name="shadowing", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def wanted(self) -> bool:
        """Whether any alias has a shadow."""
        return bool(self._catalog.shadowed)

    def offer(self, answering: LoadedVersion, spec: ModelSpec, user_id: str, data: bytes) -> None:
        """Notes a RecommendRequest that ``answering`` answers, if the alias has a shadow that hears this user."""
        if not user_id:
            return
        route = self._catalog.route(spec.model, **which(spec))
        if route is None or route.shadow is None or not route.shadow.hears(user_id):
            return
        waiting = Waiting(answering, route.shadow.loaded, data)
        if len(data) > LARGEST or self._queue.qsize() >= MOST_WAITING:
            self._tally.dropped[waiting.pair] += 1
        else:
            self._queue.put(waiting)

    async def close(self) -> None:
        """Ends the thread, if it was started; what waits is dropped. After the last ``offer``."""
        self._closed.set()
        self._queue.put(None)
        if self._thread.is_alive():
            await asyncio.to_thread(self._thread.join)
        while not self._queue.empty():
            if (waiting := self._queue.get()) is not None:
                self._tally.dropped[waiting.pair] += 1

    def _run(self) -> None:
        lower_priority()
        while not self._closed.is_set() and (waiting := self._queue.get()) is not None:
            begun = time.perf_counter()
            self._try(waiting)
            del waiting  # or its versions would stay until the next call
            self._closed.wait(RESTS * (time.perf_counter() - begun))

    def _try(self, waiting: Waiting) -> None:
        pair = waiting.pair
        try:
            found = self._compared(waiting)
        except Exception:  # noqa: BLE001 - whatever it is, it is the shadow's, and callers must not feel it
            if not self._tally.failed[pair]:
                _log.warning(
                    "a shadow cannot answer; further failures are counted", **pair._asdict(), exc_info=True
                )
            self._tally.failed[pair] += 1
        else:
            if found is not None:
                self._tally.answered[pair] = self._tally.answered.get(pair, AnswerSums()) + found

    def _compared(self, waiting: Waiting) -> AnswerSums | None:
        """What one call shows; None where production refuses it, or one of the two does not know the user."""
        answering, shadow = waiting.answering, waiting.shadow
        request = pb.RecommendRequest.FromString(waiting.request)
        if not (knows(answering, request.user_id) and knows(shadow, request.user_id)):
            return None
        try:
            question, _ = asked(answering, request)
        except RegistryError:
            return None
        same, _ = asked(shadow, request)
        # By turns, as whoever comes second finds in the processor's caches what both use.
        self._shadow_first = not self._shadow_first
        if self._shadow_first:
            theirs, other_seconds = _timed(shadow, same)
            ours, seconds = _timed(answering, question)
        else:
            ours, seconds = _timed(answering, question)
            theirs, other_seconds = _timed(shadow, same)
        found = answer_sums(Answer.of(answering, ours), Answer.of(shadow, theirs))
        return found and replace(
            found,
            seconds=Sums.of(seconds),
            other_seconds=Sums.of(other_seconds),
            added_seconds=Sums.of(other_seconds - seconds),
        )


def _timed(loaded: LoadedVersion, question: Question) -> tuple[Recommendations, float]:
    begun = time.perf_counter()
    found = loaded.recommender.answer(question)
    return found, time.perf_counter() - begun
