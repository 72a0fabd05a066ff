"""Answers calls in one go that come shortly after one another.

Between two calls grpc and asyncio run through so much code that scoring finds its own gone from the processor's caches,
and pushes theirs out in turn: in a busy server an answer takes three times what it takes right after another, and the
rest of the call takes longer too. So calls wait until no further one has come in for a few turns of the event loop.
Of a loop with nothing else to do these are over at once; in a busy one they are what takes in the calls that are on
their way, which would have to be done in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

CALM = 5
"""Turns of the event loop without a further call, after which those that wait are answered: grpc.aio spends some of
them on each call that it takes in."""
MOST = 64
"""Most calls answered in one go, for which the event loop is held up: 4 ms where each takes 60 µs."""

Reply = bytes | Awaitable[bytes]
"""A response's bytes: at once, where the event loop need not wait for anything."""


class Gathering:
    """Calls that wait to be answered. Lives on the event loop."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[bytes], Reply], bytes, asyncio.Future[Reply]]] = []
        self._calm = 0

    async def answer(self, make: Callable[[bytes], Reply], data: bytes) -> bytes:
        """What ``make`` makes of the request, which is not called for a caller who has hung up before its turn."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._turn)
        self._waiting.append((make, data, future))
        self._calm = 0
        reply = await future
        return reply if isinstance(reply, bytes) else await reply

    def _turn(self) -> None:
        self._calm += 1
        if self._calm < CALM and len(self._waiting) < MOST:
            asyncio.get_running_loop().call_soon(self._turn)
            return
        waiting, self._waiting = self._waiting, []
        for make, data, future in waiting:
            if future.done():
                continue
            try:
                reply = make(data)
                # A task, because nobody awaits the reply of a caller who hangs up now.
                future.set_result(reply if isinstance(reply, bytes) else asyncio.ensure_future(reply))
            except Exception as error:  # noqa: BLE001 - its caller is told, by the handler
                future.set_exception(error)
