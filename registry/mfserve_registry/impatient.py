"""A connection to PostgreSQL that is over once the server has been silent for too long."""

from __future__ import annotations

import time
from collections.abc import Generator
from threading import Event
from typing import Any, TypeVar

import psycopg

T = TypeVar("T")

SILENCE_SECONDS = 25.0
"""The server itself ends a statement earlier (``statement_timeout``): who says nothing for so long is stopped."""
PING_SECONDS = 3.0
"""The same for what waits for no lock."""


class Impatient(psycopg.Connection[Any]):
    """Gives up where the driver would wait for ever.

    That is for a server whose processes are stopped, while their machine goes on acknowledging what it gets.

    Attributes:
        given_up: once it is set, nobody wants answers.
    """

    given_up: Event | None = None

    def wait(self, gen: Generator[Any, Any, T], *arguments: Any, **options: Any) -> T:
        # In autocommit nobody but SQLAlchemy, which pings what it takes out of the pool.
        seconds = PING_SECONDS if self.autocommit else SILENCE_SECONDS
        return super().wait(self._until(time.monotonic() + seconds, gen), *arguments, **options)

    def _until(self, deadline: float, steps: Generator[Any, Any, T]) -> Generator[Any, Any, T]:
        """The driver's steps, of which it takes one ten times a second where nothing has come."""
        try:
            wanted = next(steps)
            while True:
                ready = yield wanted
                if not ready and (time.monotonic() > deadline or self._nobody_waits):
                    self.pgconn.finish()
                    raise psycopg.OperationalError("the server is silent")
                wanted = steps.send(ready)
        except StopIteration as end:
            result: T = end.value
            return result

    @property
    def _nobody_waits(self) -> bool:
        return self.given_up is not None and self.given_up.is_set()
