"""Threads for what must not hold up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from mfserve_registry.contact import Contact
from mfserve_registry.errors import Unavailable
from mfserve_server.threads import lower_priority

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")

REGISTRY_THREADS = 4
STORING_THREADS = 4
DESCRIBING_THREADS = 8
ANSWER_SECONDS = 4.0
"""So long a caller waits for the database. SDKs give up after 10 seconds, and try again before that."""
DESCRIBING_SECONDS = 4.0
"""So long, after that, for small files."""
_TURNS = 5
"""Of the event loop, in which an answer comes from its thread's future through those that wait for it."""
_SILENT_DATABASE = "The registry's database does not answer; try again."
_SLOW_STORE = "The registry's store does not answer in time; try again."


class Executors:
    """Kinds of work that must not wait for each other.

    ``registry`` asks the database for callers, ``watching`` for the watcher, who has to find out whether it answers,
    and ``reporting`` tells it what this process holds, one thing after the other. ``storing`` waits for the disk and
    the store, as long as that takes, and ``describing`` for small files. ``loading`` reads and verifies
    snapshots, one at a time, with what the others leave of the cores; with that ``comparing`` computes. ``scoring``
    computes, one piece at a time: BLAS brings its own threads, which share the cores with other workers.

    Args:
        contact: while the registry does not answer the watcher, nobody else asks it.
    """

    def __init__(self, contact: Contact) -> None:
        self._contact = contact
        self._registry = ThreadPoolExecutor(REGISTRY_THREADS, "registry")
        self._watching = ThreadPoolExecutor(1, "watching")
        self._reporting = ThreadPoolExecutor(1, "reporting")
        self._storing = ThreadPoolExecutor(STORING_THREADS, "storing")
        self._describing = ThreadPoolExecutor(DESCRIBING_THREADS, "describing")
        self._loading = ThreadPoolExecutor(1, "loading", lower_priority)
        self._comparing = ThreadPoolExecutor(1, "comparing", lower_priority)
        self._scoring = ThreadPoolExecutor(1, "scoring")

    def require_registry(self) -> None:
        """Unavailable while the registry does not answer the watcher."""
        if self._contact.loss is not None:
            raise Unavailable(self._contact.loss.message)

    async def registry(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Unavailable where there is no answer in time; what was asked for may then still be done."""
        self.require_registry()
        return await _in_time(ANSWER_SECONDS, _SILENT_DATABASE, _run(self._registry, call, *args, **kwargs))

    async def reporting(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, but what comes later is never done before what came earlier."""
        self.require_registry()
        return await _in_time(ANSWER_SECONDS, _SILENT_DATABASE, _run(self._reporting, call, *args, **kwargs))

    async def watching(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same, also of a registry that does not answer."""
        return await _in_time(ANSWER_SECONDS, _SILENT_DATABASE, _run(self._watching, call, *args, **kwargs))

    async def storing(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _run(self._storing, call, *args, **kwargs)

    async def describing(self, call: Callable[[A], T], arguments: Iterable[A]) -> list[T]:
        """What ``call`` finds for each argument. Unavailable where that is not all there in time."""
        return await _in_time(DESCRIBING_SECONDS, _SLOW_STORE, _each(self._describing, call, arguments))

    async def loading(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _run(self._loading, call, *args, **kwargs)

    async def comparing(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _run(self._comparing, call, *args, **kwargs)

    async def scoring(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _run(self._scoring, call, *args, **kwargs)

    def close(self) -> None:
        """Drops what has not begun; what has begun ends by itself, at the latest when the registry is closed."""
        for executor in (self._registry, self._watching, self._reporting, self._storing, self._describing):
            executor.shutdown(wait=False, cancel_futures=True)
        for executor in (self._loading, self._comparing, self._scoring):
            executor.shutdown(wait=True, cancel_futures=True)


async def _in_time(seconds: float, refusal: str, work: Awaitable[T]) -> T:
    """What is given up before its thread is free for it is never begun."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=seconds)
        # Where this loop stood still, the answer may be there by now, and on its way to the task.
        for _ in range(_TURNS):
            if task.done():
                return task.result()
            await asyncio.sleep(0)
    finally:
        task.cancel()
    raise Unavailable(refusal)


async def _run(executor: ThreadPoolExecutor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, lambda: call(*args, **kwargs))


async def _each(executor: ThreadPoolExecutor, call: Callable[[A], T], arguments: Iterable[A]) -> list[T]:
    loop = asyncio.get_running_loop()
    under_way = [loop.run_in_executor(executor, call, argument) for argument in arguments]
    try:
        return await asyncio.gather(*under_way)
    finally:
        for each in under_way:  # where one has failed, nobody waits for the others
            each.cancel()
