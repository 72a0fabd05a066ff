"""Tells the registry what this process holds."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import ParamSpec
from uuid import uuid4

import structlog

from mfserve_registry import Registry, ServerInfo, ServerStatus, ServingLease
from mfserve_registry.contact import Contact
from mfserve_registry.errors import NotFound, RegistryError, Unavailable
from mfserve_server.executors import Executors
from mfserve_server.tally import Tally

P = ParamSpec("P")

HEARTBEAT_SECONDS = 5.0
TIME_TO_LIVE = timedelta(seconds=20)

_log = structlog.get_logger(__name__)


class Reporter:
    """Announces this process, and what it holds whenever that changes.

    Args:
        worker: this process's place among those on the port, from 0.
        address: where it listens.
        leases: tells what it holds; called on the event loop.
        changes: set when that has changed, or the registry answers again.
        contact: while the registry does not answer, it is told nothing.
        tally: what it has found about shadows.
    """

    def __init__(
        self,
        registry: Registry,
        executors: Executors,
        *,
        worker: int,
        address: str,
        leases: Callable[[], list[ServingLease]],
        changes: asyncio.Event,
        contact: Contact,
        tally: Tally,
    ) -> None:
        self._registry = registry
        self._executors = executors
        self._leases = leases
        self._changes = changes
        self._contact = contact
        self._tally = tally
        self._registered = False
        self._info = ServerInfo(
            server_id=uuid4().hex,
            host=socket.gethostname()[:255],
            pid=os.getpid(),
            worker=worker,
            address=address[:255],
            release=version("mfserve"),
            started_at=datetime.now(UTC),
        )

    @property
    def server_id(self) -> str:
        return self._info.server_id

    async def run(self) -> None:
        """Reports until cancelled."""
        while True:
            self._changes.clear()
            await self.report()
            # Not wait_for: in Python 3.11 it can swallow a cancellation that comes together with a change.
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._changes.wait()

    async def report(self) -> None:
        """Reports once; a registry that does not answer is told when it does."""
        if self._contact.loss is not None:
            return
        await self._try(self._tell, self._leases())

    async def withdraw(self) -> None:
        """Tells the registry what is left to be told, and takes this process out of it."""
        await self._try(self._tell_tally)
        await self._try(self._unregister)

    async def servers(self) -> Sequence[ServerStatus]:
        """All live processes; this one as it is now, and alone where the registry does not answer."""
        now = datetime.now(UTC)
        own = ServerStatus(self._info, now, now + TIME_TO_LIVE, tuple(self._leases()))
        try:
            known = await self._executors.registry(self._registry.serving.list)
        except Unavailable:
            known = []
        others = [status for status in known if status.server.server_id != self.server_id]
        return sorted([*others, own], key=lambda status: (status.server.started_at, status.server.server_id))

    async def _try(self, tell: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """What goes wrong must neither end the reporting nor hold up what else is to be closed."""
        try:
            await self._executors.reporting(tell, *args, **kwargs)
        except RegistryError as error:
            _log.warning("cannot report to the registry", reason=error.reason, message=error.message)
        except Exception:  # noqa: BLE001 - as above
            _log.exception("reporting to the registry failed")

    def _tell(self, leases: Sequence[ServingLease]) -> None:
        serving = self._registry.serving
        if not self._registered:
            serving.register(self._info, TIME_TO_LIVE)
            self._registered = True
        try:
            serving.heartbeat(self.server_id, leases, TIME_TO_LIVE)
        except NotFound:  # silent so long that it was forgotten
            serving.register(self._info, TIME_TO_LIVE)
            serving.heartbeat(self.server_id, leases, TIME_TO_LIVE)
        self._tell_tally()

    def _tell_tally(self) -> None:
        self._tally.report(self._registry, self.server_id)

    def _unregister(self) -> None:
        self._registry.serving.unregister(self.server_id)
