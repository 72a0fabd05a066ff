"""Puts a load on a server, and keeps how long every call took."""

from __future__ import annotations

import asyncio
from array import array
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from time import perf_counter

from mfserve.errors import MfserveError

_TIMER_SECONDS = 0.002
"""An event loop's timer may be late by so much; what is nearer is waited for without one."""


@dataclass(slots=True)
class Load:
    """What has happened so far. It is filled as the calls end, so that an interruption loses nothing."""

    latencies: array[float] = field(default_factory=lambda: array("d"))
    """Seconds, one for each call that was answered."""
    failures: Counter[str] = field(default_factory=Counter)
    """Calls that were not, by what was said of them."""
    unsent: int = 0
    """Calls that were due and never sent, because all callers were still waiting for earlier ones."""
    seconds: float = 0.0
    """From the first call to the end of the last one."""

    @property
    def calls_per_second(self) -> float:
        """Answered ones."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0


async def put(
    load: Load,
    call: Callable[[], Awaitable[object]],
    *,
    callers: int,
    seconds: float,
    rate: float | None = None,
) -> None:
    """Lets so many callers call at the same time, for so many seconds.

    Without a rate the loop is closed: who has an answer calls again at once. With one, calls per second of all callers
    together, every call has its time, and its latency counts from then on, also where nobody was free to send it. (A
    server that stops for a second would otherwise have one slow call for each caller, and not one for each call that
    should have been made meanwhile: G. Tene's "coordinated omission".)

    A call that raises an MfserveError has failed, and is counted; whatever else it raises ends the load.
    """
    begin = perf_counter()
    due = _closed(begin + seconds) if rate is None else _open(load, begin, begin + seconds, rate)
    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(_call(load, call, due, begin))


def _closed(end: float) -> Iterator[float]:
    while (now := perf_counter()) < end:
        yield now


def _open(load: Load, begin: float, end: float, rate: float) -> Iterator[float]:
    for number in count():
        due = begin + number / rate
        if due >= end:
            return
        if perf_counter() >= end:
            load.unsent += 1
        else:
            yield due


async def _call(
    load: Load, call: Callable[[], Awaitable[object]], due_times: Iterator[float], begin: float
) -> None:
    for due in due_times:
        await _until(due)
        try:
            await call()
        except MfserveError as error:
            load.failures[" ".join(str(error).split())] += 1
        else:
            load.latencies.append(perf_counter() - due)
        load.seconds = perf_counter() - begin


async def _until(due: float) -> None:
    if (early := due - perf_counter() - _TIMER_SECONDS) > 0:
        await asyncio.sleep(early)
    while perf_counter() < due:  # noqa: ASYNC110 - it is the time itself that is awaited
        await asyncio.sleep(0)
