"""Threads for what must not hold up the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from mfserve_server.threads import lower_priority

P = ParamSpec("P")
T = TypeVar("T")

REGISTRY_THREADS = 4


class Executors:
    """Three kinds of work that must not wait for each other.

    ``registry`` waits for the database and the disk. ``loading`` reads and verifies snapshots, one at a
    time, with what the others leave of the cores.
    ``scoring`` computes, one piece at a time: BLAS brings its own threads, which share the cores with other workers.
    """

    def __init__(self) -> None:
        self._registry = ThreadPoolExecutor(REGISTRY_THREADS, "registry")
        self._loading = ThreadPoolExecutor(1, "loading", lower_priority)
        self._scoring = ThreadPoolExecutor(1, "scoring")

    async def registry(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _run(self._registry, call, *args, **kwargs)

    async def loading(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _run(self._loading, call, *args, **kwargs)

    async def scoring(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await _run(self._scoring, call, *args, **kwargs)

    def close(self) -> None:
        """Drops what has not begun; what has begun ends by itself."""
        for executor in (self._registry, self._loading, self._scoring):
            executor.shutdown(wait=True, cancel_futures=True)


async def _run(executor: ThreadPoolExecutor, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, lambda: call(*args, **kwargs))
