"""The parent of all processes: prepares the registry, starts server processes and a trainer, and ends them.

It answers none of the callers' calls, so that an error in one can never take it down: only those who watch it, on ports
of their own.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from mfserve_registry.setting_faults import PREFIX, unknown_variables
from mfserve_server.addresses import reserve
from mfserve_server.children import Child
from mfserve_server.fleet import Fleet
from mfserve_server.keeping import Keeping
from mfserve_server.security.checks import check_security
from mfserve_server.settings import Settings
from mfserve_server.start_folder import StartFolder, start_folder

if TYPE_CHECKING:
    from mfserve_server.statuses import Statuses

# Between tries to open a registry that was away at the start.
_AGAIN_SECONDS = 1.0

# Signals that come so soon after the first are the same wish: timeout(1) signals its child and then its group.
_ONE_WISH_SECONDS = 0.5

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ready:
    """Where a server answers, and the process ids of its workers."""

    address: str
    workers: list[int]


class Supervisor:
    """Runs ``mfserve serve``.

    Args:
        settings: as they were given.
        announce: called once, when every worker answers.

    Raises:
        StartError: the address cannot be had, or the settings ask for more safety than there is.
    """

    def __init__(self, settings: Settings, announce: Callable[[Ready], None]) -> None:
        self._announce = announce
        self._reservation = reserve(settings.host, settings.port)
        self._settings = settings.model_copy(
            update={"host": self._reservation.host, "port": self._reservation.port}
        )
        check_security(self._settings)
        loop = asyncio.get_running_loop()
        self._stop: asyncio.Future[None] = loop.create_future()
        self._kill: asyncio.Future[None] = loop.create_future()
        self._asked_at = 0.0
        self._keeping = Keeping()
        self._fleet = Fleet(self._settings, self._keeping, self._tell_probes)
        self._statuses: Statuses | None = None

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains; a second signal kills, unless it comes with the first.

        At SIGHUP each server process is replaced by a new one, one after the other, unless they are only starting.

        Where the registry does not answer, and the home knows what was served last, that is served until it answers.

        Raises:
            RegistryError, OSError: the registry cannot be opened.
            NeverReady: the workers die before they are ready.
        """
        # On this machine and of this start: what an earlier one found proves nothing.
        with start_folder() as folder:
            await self._run(folder)

    async def _run(self, folder: StartFolder) -> None:
        loop = asyncio.get_running_loop()
        for caught in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(caught, self._take_signal)
        loop.add_signal_handler(signal.SIGHUP, self._take_hangup)
        # They import while we prepare.
        self._fleet.start()
        listening = AsyncExitStack()
        try:
            if self._settings.metrics_port is not None:
                listening.enter_context(_exporter(self._settings, folder.pages, self._fleet))
            if self._settings.health_port is not None:
                self._statuses = await listening.enter_async_context(_probes(self._settings))
            prepared = await asyncio.to_thread(_prepare, self._settings, folder.verdicts)
            self._fleet.instruct(folder)
            await self._until(self._fleet.until_ready())
            if not self._stop.done():
                workers = [worker.pid for worker in self._fleet.workers if worker.pid is not None]
                self._announce(Ready(self._reservation.address, workers))
                if not prepared:
                    await self._until(self._migrate())
            # Not before: TensorFlow's start would take the cores from the workers'.
            if not self._stop.done() and (trainer := self._trainer()) is not None:
                self._keeping.start(trainer)
            await self._until(self._stop)
        finally:
            await self._end()
            await listening.aclose()
            self._reservation.hold.close()

    def _take_signal(self) -> None:
        now = time.monotonic()
        if not self._stop.done():
            self._asked_at = now
            self._stop.set_result(None)
        elif now - self._asked_at > _ONE_WISH_SECONDS and not self._kill.done():
            self._kill.set_result(None)

    def _take_hangup(self) -> None:
        if not self._stop.done():
            self._fleet.begin_to_roll()

    async def _until(self, done: Awaitable[None]) -> None:
        """Or until we are to stop. Raises what ``done`` raises, and what keeping a child does."""
        wanted = asyncio.ensure_future(done)
        first = (wanted, self._stop, self._keeping.failed)
        try:
            await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
            for future in first:
                if future.done():
                    future.result()
        finally:
            wanted.cancel()

    async def _migrate(self) -> None:
        """Tries until the registry answers and can be used; what is wrong with it is told once."""
        told = None
        while True:
            await asyncio.sleep(_AGAIN_SECONDS)
            try:
                await asyncio.to_thread(_migrate, self._settings)
            except Exception as error:  # noqa: BLE001 - whatever it is: servers answer, and it may pass
                if str(error) != told:
                    _log.error("the registry cannot be opened; it is tried again", message=str(error))
                told = str(error)
            else:
                _log.info("the registry is open")
                return

    async def _end(self) -> None:
        """Asks all children to end; kills those that take too long, or all at a second signal."""
        self._tell_probes()
        await self._fleet.stop_rolling()
        await self._keeping.end(*self._keeping.children, patience=self._fleet.patience, at_once=self._kill)

    def _tell_probes(self) -> None:
        if self._statuses is not None:
            stays = not self._stop.done()
            self._statuses.tell(up=stays and self._fleet.count > 0, serving=stays and self._fleet.is_serving)

    def _trainer(self) -> Child | None:
        if not self._settings.trainer:
            return None
        if find_spec("tensorflow") is None:
            _log.warning(
                "runs no trainer: TensorFlow is not installed here (pip install 'mfserve[trainer]', or --no-trainer)"
            )
            return None
        bound = [sys.executable, "-m", "mfserve_server.bound", str(os.getpid())]
        command = [sys.executable, "-m", "mfserve", "trainer", "--home", str(self._settings.home)]
        return Child("trainer", [*bound, *command], trainer_environment(self._settings, os.environ))


@contextmanager
def _exporter(settings: Settings, pages: Path, fleet: Fleet) -> Iterator[None]:
    # Imported here: for who exports nothing the parent need not know Prometheus.
    from mfserve_server.metrics.children_numbers import ChildrenNumbers
    from mfserve_server.metrics.exporter import Exporter
    from mfserve_server.opening import open_registry

    with open_registry(settings, migrate=False, check_later=True) as registry:
        children = ChildrenNumbers(fleet)
        exporter = Exporter(settings.metrics_host, settings.metrics_port or 0, pages, registry, children)
        _log.info("exports metrics", address=f"{settings.metrics_host}:{exporter.port}")
        try:
            yield
        finally:
            exporter.close()


@asynccontextmanager
async def _probes(settings: Settings) -> AsyncIterator[Statuses]:
    # Imported here, as above: gRPC.
    from mfserve_server.probes import answer_probes
    from mfserve_server.statuses import Statuses

    statuses = Statuses()
    async with answer_probes(statuses, settings.health_host, settings.health_port or 0) as port:
        _log.info("answers health checks", address=f"{settings.health_host}:{port}")
        yield statuses


def _prepare(settings: Settings, verdicts: Path) -> bool:
    # The registry's imports, while the workers do theirs.
    from mfserve_server.preparation import prepare
    from mfserve_server.verification import Verification

    return prepare(settings, Verification(verdicts))


def _migrate(settings: Settings) -> None:
    from mfserve_server.preparation import migrate

    migrate(settings)


def trainer_environment(settings: Settings, ours: Mapping[str, str]) -> dict[str, str]:
    """Our environment with the settings that a trainer shares with us, wherever we had them from.

    Without the name of our settings file, which has settings that a trainer does not know, and without variables that
    are no settings, of which it would tell again.
    """
    shared = {
        "HOME": str(settings.home),
        "DATABASE_URL": settings.url,
        "STORE_URL": settings.store_url,
        "CACHE_BYTES": str(settings.cache_bytes),
        "DATA_ROOTS": os.pathsep.join(map(str, settings.data_roots)) or None,
        "LOG_LEVEL": settings.log_level,
        "LOG_FORMAT": settings.log_format,
        "OTLP_ENDPOINT": settings.otlp_endpoint,
    }
    told = {f"{PREFIX}{name}": value for name, value in shared.items() if value is not None}
    dropped = {f"{PREFIX}CONFIG", *unknown_variables(ours)}
    return {name: value for name, value in ours.items() if name not in dropped} | told
