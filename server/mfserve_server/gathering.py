"""Answers calls in one go that come shortly after one another.

Between two calls grpc and asyncio run through so much code that scoring finds its own gone from the processor's caches,
and pushes theirs out in turn: in a busy server an answer takes three times what it takes right after another, and the
rest of the call takes longer too. So calls wait until no further one has come in for a few turns of the event loop.
Of a loop with nothing else to do these are over at once; in a busy one they are what takes in the calls that are on
their way, which would have to be done in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

CALM = 5
"""Turns of the event loop without a further call, after which those that wait are answered: grpc.aio spends some of
them on each call that it takes in."""
MOST = 64
"""Most calls answered in one go, for which the event loop is held up: 4 ms where each takes 60 µs."""

Reply = bytes | Awaitable[bytes]
"""A response's bytes: at once, where the event loop need not wait for anything."""
Outcome = Reply | Exception


class Gathering:
    """Calls that wait to be answered. Lives on the event loop.

    Args:
        answer_each: makes the outcome of each request, in their order.
    """

    def __init__(self, answer_each: Callable[[Sequence[bytes]], Sequence[Outcome]]) -> None:
        self._answer_each = answer_each
        self._waiting: list[tuple[bytes, asyncio.Future[Reply]]] = []
        self._calm = 0

    async def answer(self, request: bytes) -> bytes:
        """The response to the request, which is not looked at for a caller who has hung up before its turn."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Reply] = loop.create_future()
        if not self._waiting:
            loop.call_soon(self._turn)
        self._waiting.append((request, future))
        self._calm = 0
        reply = await future
        return reply if isinstance(reply, bytes) else await reply

    def _turn(self) -> None:
        self._calm += 1
        if self._calm < CALM and len(self._waiting) < MOST:
            asyncio.get_running_loop().call_soon(self._turn)
            return
        waiting = [(request, future) for request, future in self._waiting if not future.done()]
        self._waiting = []
        try:
            outcomes = self._answer_each([request for request, _ in waiting])
        except Exception as error:  # noqa: BLE001 - their callers are told, by the handler
            outcomes = [error] * len(waiting)
        for (_, future), outcome in zip(waiting, outcomes, strict=True):
            if isinstance(outcome, Exception):
                future.set_exception(outcome)
            else:
                # A task, because nobody awaits the reply of a caller who hangs up now.
                future.set_result(outcome if isinstance(outcome, bytes) else asyncio.ensure_future(outcome))
