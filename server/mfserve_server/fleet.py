"""The server processes that share a port, and how others take their places."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from mfserve_server.children import Child, NeverReady
from mfserve_server.keeping import Keeping
from mfserve_server.orders import Orders
from mfserve_server.settings import Settings
from mfserve_server.start_folder import StartFolder
from mfserve_server.threads import worker_environment

MARGIN_SECONDS = 5.0
"""Beyond the time that calls get: for signing off, and for a trainer that gives its job back."""
READY_SECONDS = 600.0
"""So long a process may take to be ready that is to replace another: fetching a large snapshot takes minutes."""

_COMMAND = (sys.executable, "-m", "mfserve_server.worker")

_log = structlog.get_logger(__name__)


class Fleet:
    """As many as the settings say, which import while nobody knows their orders yet.

    Args:
        settings: with the address that is ours.
        keeping: where they are kept running.
        changed: called when ``is_up`` or ``is_serving`` may have changed.
        command: what is run.

    Attributes:
        workers: those that have the places now.
        deaths: how many have died, those included whose place another has taken.
        patience: seconds that one may take to end.
    """

    def __init__(
        self,
        settings: Settings,
        keeping: Keeping,
        changed: Callable[[], None],
        command: Sequence[str] = _COMMAND,
    ) -> None:
        self._settings = settings
        self._keeping = keeping
        self._changed = changed
        self._command = command
        self._orders: list[asyncio.Future[bytes]] = [
            asyncio.get_running_loop().create_future() for _ in range(settings.workers)
        ]
        self.deaths = 0
        self.patience = settings.notice_seconds + settings.drain_seconds + MARGIN_SECONDS
        self._withdrawing: set[asyncio.Task[None]] = set()
        self._rolling: asyncio.Task[None] | None = None
        self.workers = [self._make(number) for number in range(settings.workers)]

    @property
    def count(self) -> int:
        """How many are up."""
        return sum(worker.is_up for worker in self.workers)

    @property
    def is_serving(self) -> bool:
        """Whether one has a version to answer from."""
        return any(worker.told.get("serving") for worker in self.workers)

    def start(self) -> None:
        for worker in self.workers:
            self._keeping.start(worker)

    def instruct(self, folder: StartFolder) -> None:
        """Gives all of them their orders."""
        for number, told in enumerate(self._orders):
            orders = Orders(settings=self._settings, worker=number, folder=folder)
            told.set_result(orders.model_dump_json().encode())

    async def until_ready(self) -> None:
        """NeverReady where one gives up."""
        await asyncio.gather(*(asyncio.shield(worker.ready) for worker in self.workers))

    def begin_to_roll(self) -> None:
        """Puts a new process in the place of each, one after the other, unless they are new or being replaced."""
        if not all(worker.ready.done() for worker in self.workers):
            _log.info("does not replace its server processes: they are only starting")
        elif self._rolling is not None and not self._rolling.done():
            _log.info("is replacing its server processes already")
        else:
            self._rolling = asyncio.create_task(self._roll())

    async def stop_rolling(self) -> None:
        """Leaves all processes as they are, those included that were to take a place."""
        if self._rolling is not None:
            self._rolling.cancel()
            await asyncio.gather(self._rolling, return_exceptions=True)

    async def _roll(self) -> None:
        """A new one answers before the old one ends, so that nobody is refused."""
        _log.info("replaces its server processes")
        for number, old in enumerate(self.workers):
            new = self._make(number)
            self._keeping.start(new)
            try:
                async with asyncio.timeout(READY_SECONDS):
                    await asyncio.shield(new.ready)
            except (NeverReady, TimeoutError) as error:
                _log.error("goes on with the server processes that it has", message=str(error))
                await self._keeping.end(new, patience=self.patience)
                return
            self.workers[number] = new
            self._changed()
            await self._keeping.end(old, patience=self.patience)
        _log.info("has replaced its server processes")

    def _make(self, number: int) -> Child:
        environment = {**os.environ, **worker_environment(self._settings.workers, os.environ)}
        return Child(
            f"worker {number}",
            self._command,
            environment,
            self._orders[number],
            died=self._note_death,
            heard=self._changed,
        )

    def _note_death(self, told: Mapping[str, Any]) -> None:
        self.deaths += 1
        self._changed()
        if told:
            # Nobody is to be told for as long as a lease lasts that a worker serves which has died.
            task = asyncio.create_task(asyncio.to_thread(_withdraw, self._settings, told["server_id"]))
            self._withdrawing.add(task)
            task.add_done_callback(self._withdrawing.discard)


def _withdraw(settings: Settings, server_id: str) -> None:
    # Imported here: the parent's own imports are few until its processes run.
    from mfserve_server.preparation import withdraw

    withdraw(settings, server_id)
