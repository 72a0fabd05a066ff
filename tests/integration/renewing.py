"""Callers who never stop, some of whom connect anew all the time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from mfserve import Client, Credentials
from tests.waiting import eventually

PAUSE_SECONDS = 0.05


class Callers:
    """Two for each credentials: one whose client lasts until ``renew``, and one with a client for each call.

    Args:
        address: of the server.
        credentials: what they show; files are read again by each new client.
    """

    def __init__(self, address: str, *credentials: Credentials) -> None:
        self._address = address
        self._over = threading.Event()
        self._renewals = 0
        kinds = [(each, lasting) for each in credentials for lasting in (True, False)]
        self._calls = [0] * len(kinds)
        self._pool = ThreadPoolExecutor(len(kinds))
        self._callers: list[Future[None]] = [
            self._pool.submit(self._keep_calling, number, *kind) for number, kind in enumerate(kinds)
        ]

    def _keep_calling(self, number: int, credentials: Credentials, lasting: bool) -> None:
        while not self._over.is_set():
            renewals = self._renewals
            with Client(self._address, credentials=credentials) as client:
                self._call(number, client)
                while lasting and renewals == self._renewals and not self._over.is_set():
                    self._call(number, client)

    def _call(self, number: int, client: Client) -> None:
        assert client.recommend("movies", f"u{number}").served_version.version == 1
        assert len(list(client.stream_recommend("movies", ["u1", "u2"]))) == 2
        self._calls[number] += 1
        self._over.wait(PAUSE_SECONDS)

    def go_on(self) -> None:
        """Until each of them has called, and begun after now. Fails if any of their calls ever has."""
        begun = list(self._calls)

        def all_have_called() -> bool:
            for caller in self._callers:
                if caller.done():
                    caller.result()
            # The first of the two may have been under way.
            return all(now >= before + 2 for now, before in zip(self._calls, begun, strict=True))

        eventually(all_have_called, "all have called")

    def renew(self) -> None:
        """Until all have called with a client that was made after now."""
        self._renewals += 1
        self.go_on()

    def end(self) -> None:
        """Ends them; fails like ``go_on``."""
        self._over.set()
        self._pool.shutdown()
        for caller in self._callers:
            caller.result()


@contextmanager
def calls_to(address: str, *credentials: Credentials) -> Iterator[Callers]:
    callers = Callers(address, *credentials)
    try:
        callers.go_on()
        yield callers
    finally:
        callers.end()
