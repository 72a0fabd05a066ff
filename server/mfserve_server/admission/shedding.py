"""What changes in a server process while it refuses calls."""

from __future__ import annotations

import asyncio

from mfserve_server.threads import wake_quietly

SECONDS = 1.0
"""So long after a refusal the next one is expected."""


class Shedding:
    """Whether calls were refused of late. Lives on the event loop.

    A call passes through some of gRPC's threads and the event loop's. Each that wakes up takes the core from the search
    under way, which then finds the processor's caches full of other things. So while calls are refused, each waits for
    its turn: refusals come a few milliseconds later, and twice as much is searched beside a thousand of them a second.
    """

    def __init__(self) -> None:
        self._until = 0.0
        self._end: asyncio.TimerHandle | None = None

    @property
    def goes_on(self) -> bool:
        """Whether it is no longer than ``SECONDS`` since a call was refused."""
        return self._end is not None

    def refused(self) -> None:
        """A call is refused."""
        loop = asyncio.get_running_loop()
        self._until = loop.time() + SECONDS
        if self._end is None:
            wake_quietly(True)
            self._end = loop.call_at(self._until, self._look)

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        if loop.time() < self._until:
            self._end = loop.call_at(self._until, self._look)
        else:
            self._end = None
            wake_quietly(False)
