"""Bounds how many calls of a kind are under way, and how many wait for their turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from mfserve_registry.errors import Overloaded

_BACK_OFF_SECONDS = 0.1
"""When callers are to come again who found every place taken: nobody knows how long calls of all kinds take."""


class Gate:
    """A number of places. Lives on the event loop.

    Args:
        kind: what the calls are, for the metrics.
        name: the same, for who is refused.
        places: most calls under way.
        queue: most calls that wait for a place, first come, first served.
        patience: seconds after which they do no longer.
        queued: told how many wait.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        places: int,
        queue: int,
        patience: float,
        queued: Callable[[float], None] = lambda waiting: None,
    ) -> None:
        self.kind = kind
        self._name = name
        self._places = places
        self._queue = queue
        self._patience = patience
        self._queued = queued
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.under_way = 0

    @property
    def waiting(self) -> int:
        """Calls that wait for a place."""
        return sum(not each.done() for each in self._waiting)

    def enter(self) -> Awaitable[None] | None:
        """Takes a place, or what is to be awaited for one; ``leave`` ends it, unless that fails.

        Raises:
            Overloaded: also from what is awaited.
        """
        if self.under_way < self._places:
            self.under_way += 1
            return None
        if len(self._waiting) >= self._queue:
            raise self._refusal()
        return self._turn()

    def leave(self) -> None:
        """Gives the place to the first who waits for one."""
        while self._waiting:
            first = self._waiting.popleft()
            self._queued(len(self._waiting))
            if not first.done():  # nor has its caller hung up
                first.set_result(None)
                return
        self.under_way -= 1

    async def _turn(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._queued(len(self._waiting))
        try:
            async with asyncio.timeout(self._patience):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.leave()  # it came at the very moment
            elif turn in self._waiting:
                self._waiting.remove(turn)
                self._queued(len(self._waiting))
            if isinstance(error, TimeoutError):
                raise self._refusal() from None
            raise

    def _refusal(self) -> Overloaded:
        error = Overloaded(f"This server has all the {self._name} that it can take; try again.")
        error.retry_seconds = _BACK_OFF_SECONDS
        return error
