"""Answers calls in one go that come shortly after one another.

Between two calls grpc and asyncio run through so much code that scoring finds its own gone from the processor's caches,
and pushes theirs out in turn: in a busy server an answer takes three times what it takes right after another, and the
rest of the call takes longer too. So calls wait until no further one has come in for a few turns of the event loop.
Of a loop with nothing else to do these are over at once; in a busy one they are what takes in the calls that are on
their way, which would have to be done in any case.

A server that sheds load always waits for the longest time: calls that are refused one by one, as they come, hold up the
search under way more than they do in bunches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from mfserve_server.outcomes import Outcome, Reply, attempt

CALM = 5
"""Turns of the event loop without a further call, after which those that wait are answered: grpc.aio spends some of
them on each call that it takes in."""
PATIENCE = 5e-3
"""Seconds after which the first of them waits for no further call."""
BUNCH = 5e-3
"""The same where load is shed; turns do not count there."""
MOST = 64
"""Most calls answered in one go, for which the event loop is held up: 4 ms where each takes 60 µs."""
MOST_BYTES = 1 << 16
"""Bytes of requests that end a go, because long ones take long to be read."""


class Gathering:
    """Calls that wait to be answered. Lives on the event loop.

    Args:
        answer_each: makes the outcome of each request, in their order.
        sheds: whether calls are refused of late.
    """

    def __init__(
        self,
        answer_each: Callable[[Sequence[bytes]], Sequence[Outcome]],
        sheds: Callable[[], bool] = lambda: False,
    ) -> None:
        self._answer_each = answer_each
        self._sheds = sheds
        self._waiting: deque[tuple[bytes, asyncio.Future[Reply]]] = deque()
        self._calm = 0
        self._until = 0.0

    async def answer(self, request: bytes) -> bytes:
        """The response to the request, which is not looked at for a caller who has hung up before its turn."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        if not self._waiting:
            self._wait(loop)
        self._waiting.append((request, future))
        self._calm = 0
        try:
            reply = await future
        except asyncio.CancelledError:
            _close(future)
            raise
        return reply if isinstance(reply, bytes) else await reply

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._sheds():
            loop.call_later(BUNCH, self._go_on)
        else:
            self._until = loop.time() + PATIENCE
            loop.call_soon(self._turn)

    def _go_on(self) -> None:
        self._go()
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._go_on)

    def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        self._calm += 1
        if self._calm >= CALM or len(self._waiting) >= MOST or loop.time() >= self._until:
            self._go()
        if self._waiting:
            loop.call_soon(self._turn)

    def _go(self) -> None:
        taken = self._take()
        outcomes = attempt(self._answer_each, [request for request, _ in taken])
        if isinstance(outcomes, Exception):
            outcomes = [outcomes] * len(taken)
        for (_, future), outcome in zip(taken, outcomes, strict=True):
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _take(self) -> list[tuple[bytes, asyncio.Future[Reply]]]:
        taken: list[tuple[bytes, asyncio.Future[Reply]]] = []
        size = 0
        while self._waiting and len(taken) < MOST and size < MOST_BYTES:
            request, future = self._waiting.popleft()
            if not future.done():  # or the caller has hung up
                taken.append((request, future))
                size += len(request)
        return taken


def _close(future: asyncio.Future[Reply]) -> None:
    """Of a caller who hangs up between being answered and hearing of it."""
    if future.done() and not future.cancelled() and future.exception() is None:
        reply = future.result()
        if not isinstance(reply, bytes):
            reply.close()
