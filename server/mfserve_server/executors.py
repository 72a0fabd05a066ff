"""Threads for what must not hold up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from mfserve_registry.errors import Unavailable
from mfserve_server.contact import Contact
from mfserve_server.threads import lower_priority

P = ParamSpec("P")
T = TypeVar("T")

REGISTRY_THREADS = 4
STORING_THREADS = 4
ANSWER_SECONDS = 4.0
"""So long a caller waits for the registry. SDKs give up after 10 seconds, and try again before that."""


class Executors:
    """Kinds of work that must not wait for each other.

    ``registry`` asks the database for callers, and ``watching`` for the watcher, who has to find out whether it
    answers. ``storing`` waits for the disk and the store, as long as that takes. ``loading`` reads and verifies
    snapshots, one at a time, with what the others leave of the cores; with that ``comparing`` computes. ``scoring``
    computes, one piece at a time: BLAS brings its own threads, which share the cores with other workers.

    Args:
        contact: while the registry does not answer the watcher, nobody else asks it.
    """

    def __init__(self, contact: Contact) -> None:
        self._contact = contact
        self._registry = ThreadPoolExecutor(REGISTRY_THREADS, "registry")
        self._watching = ThreadPoolExecutor(1, "watching")
        self._storing = ThreadPoolExecutor(STORING_THREADS, "storing")
        self._loading = ThreadPoolExecutor(1, "loading", lower_priority)
        self._comparing = ThreadPoolExecutor(1, "comparing", lower_priority)
        self._scoring = ThreadPoolExecutor(1, "scoring")

    async def registry(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Unavailable where there is no answer in time; what was asked for may then still be done."""
        if self._contact.loss is not None:
            raise Unavailable(self._contact.loss.message)
        return await _in_time(self._registry, call, *args, **kwargs)

    async def watching(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The same."""
        return await _in_time(self._watching, call, *args, **kwargs)

    async def storing(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _run(self._storing, call, *args, **kwargs)

    async def loading(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _run(self._loading, call, *args, **kwargs)

    async def comparing(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _run(self._comparing, call, *args, **kwargs)

    async def scoring(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _run(self._scoring, call, *args, **kwargs)

    def close(self) -> None:
        """Drops what has not begun; what has begun ends by itself, at the latest when the registry is closed."""
        for executor in (self._registry, self._watching, self._storing):
            executor.shutdown(wait=False, cancel_futures=True)
        for executor in (self._loading, self._comparing, self._scoring):
            executor.shutdown(wait=True, cancel_futures=True)


async def _in_time(
    executor: ThreadPoolExecutor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """What is given up before its thread is free for it is never begun."""
    limit = asyncio.timeout(ANSWER_SECONDS)
    try:
        async with limit:
            return await _run(executor, call, *args, **kwargs)
    except TimeoutError as error:
        if not limit.expired():
            raise
        raise Unavailable("The registry's database does not answer; try again.") from error


async def _run(executor: ThreadPoolExecutor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, lambda: call(*args, **kwargs))
