"""How often calls come, of late."""

from __future__ import annotations

import math

_MEMORY_SECONDS = 0.25
"""A call counts for 1/e of a new one after so long."""


class Arrivals:
    """An exponentially weighted rate; that of no call is 0."""

    def __init__(self) -> None:
        self._last = 0.0
        self.rate = 0.0
        """Calls a second, when the last one came."""

    def note(self, now: float) -> None:
        """A call has come.

        Args:
            now: seconds, of a clock that does not go back.
        """
        self.rate = self.rate * math.exp((self._last - now) / _MEMORY_SECONDS) + 1 / _MEMORY_SECONDS
        self._last = now
