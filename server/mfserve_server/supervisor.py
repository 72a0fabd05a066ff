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
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from mfserve_registry.setting_faults import PREFIX, unknown_variables
from mfserve_server.addresses import reserve
from mfserve_server.children import Child, NeverReady
from mfserve_server.orders import Orders
from mfserve_server.security.checks import check_security
from mfserve_server.settings import Settings
from mfserve_server.threads import worker_environment
from mfserve_server.verdicts import verdict_folder

if TYPE_CHECKING:
    from mfserve_server.statuses import Statuses

# Beyond the time that calls get: for signing off, and for a trainer that gives its job back.
_MARGIN_SECONDS = 5.0
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
        self._stop = asyncio.Event()
        self._kill = asyncio.Event()
        self._asked_at = 0.0
        self._withdrawing: set[asyncio.Task[None]] = set()
        self._workers: list[Child] = []
        self._deaths = 0
        self._keeping: dict[asyncio.Task[None], Child] = {}
        self._rolling: asyncio.Task[None] | None = None
        self._statuses: Statuses | None = None

    async def run(self) -> None:
        """Serves until SIGTERM or SIGINT, then drains; a second signal kills, unless it comes with the first.

        At SIGHUP each server process is replaced by a new one, one after the other.

        Where the registry does not answer, and the home knows what was served last, that is served until it answers.

        Raises:
            RegistryError, OSError: the registry cannot be opened.
            NeverReady: the workers die before they are ready.
        """
        # On this machine and of this start: what an earlier one found proves nothing.
        with verdict_folder() as folder:
            await self._run(folder)

    async def _run(self, folder: Path) -> None:
        verdicts, pages = folder / "verdicts", folder / "pages"
        for each in (verdicts, pages):
            each.mkdir()
        loop = asyncio.get_running_loop()
        for caught in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(caught, self._take_signal)
        # Workers import while we prepare: they are started before there are orders for them.
        orders: list[asyncio.Future[bytes]] = [loop.create_future() for _ in range(self._settings.workers)]
        workers = self._workers = [self._worker(number, told) for number, told in enumerate(orders)]
        for worker in workers:
            self._keep(worker)
        listening = AsyncExitStack()
        try:
            if self._settings.metrics_port is not None:
                listening.enter_context(_exporter(self._settings, pages, workers, lambda: self._deaths))
            if self._settings.health_port is not None:
                self._statuses = await listening.enter_async_context(_probes(self._settings))
            prepared = await asyncio.to_thread(_prepare, self._settings, verdicts)
            for number, told in enumerate(orders):
                told.set_result(self._orders(number, verdicts, pages))
            await self._until_ready(workers)
            if not self._stop.is_set():
                self._announce(
                    Ready(
                        self._reservation.address,
                        [worker.pid for worker in workers if worker.pid is not None],
                    )
                )
                if not prepared:
                    await self._until_migrated()
            # Not before: TensorFlow's start would take the cores from the workers'.
            if not self._stop.is_set() and (trainer := self._trainer()) is not None:
                self._keep(trainer)
            loop.add_signal_handler(signal.SIGHUP, self._begin_to_roll)
            await self._until_stopped()
        finally:
            await self._end()
            await listening.aclose()
            self._reservation.hold.close()

    def _take_signal(self) -> None:
        now = time.monotonic()
        if not self._stop.is_set():
            self._asked_at = now
            self._stop.set()
        elif now - self._asked_at > _ONE_WISH_SECONDS:
            self._kill.set()

    def _keep(self, child: Child) -> None:
        self._keeping[asyncio.create_task(child.keep())] = child

    def _begin_to_roll(self) -> None:
        if self._rolling is None or self._rolling.done():
            self._rolling = asyncio.create_task(self._roll())

    async def _roll(self) -> None:
        """Puts a new process in the place of each: it answers before the old one ends, so that nobody is refused."""
        _log.info("replaces its server processes")
        for number, old in enumerate(self._workers):
            if old.orders is None:
                continue
            new = self._worker(number, old.orders)
            if not await self._is_ready(new):
                _log.error("goes on with the server processes that it has")
                return
            self._workers[number] = new
            self._tell_probes()
            ended = next(task for task, child in self._keeping.items() if child is old)
            old.stop()
            await asyncio.wait([ended], timeout=self._patience)
            old.kill()
        _log.info("has replaced its server processes")

    async def _is_ready(self, new: Child) -> bool:
        """Waits until it is, and keeps it then; False where it never will be."""
        keeping = asyncio.create_task(new.keep())
        ready = asyncio.create_task(new.ready.wait())
        try:
            await asyncio.wait((ready, keeping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
            if new.ready.is_set():
                self._keeping[keeping] = new
            else:
                new.stop()
                with suppress(NeverReady):
                    await keeping
        return new.ready.is_set()

    @property
    def _patience(self) -> float:
        """Seconds that a server process may take to end."""
        return self._settings.notice_seconds + self._settings.drain_seconds + _MARGIN_SECONDS

    async def _until_ready(self, workers: Sequence[Child]) -> None:
        ready = asyncio.gather(*(worker.ready.wait() for worker in workers))
        try:
            await self._until_stopped(ready)
        finally:
            ready.cancel()

    async def _until_migrated(self) -> None:
        migrated = asyncio.create_task(self._migrate())
        try:
            await self._until_stopped(migrated)
        finally:
            migrated.cancel()

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

    async def _until_stopped(self, *others: asyncio.Future[Any]) -> None:
        """Or until one of ``others`` is done; also where keeping a child has failed: going on with fewer is silent."""
        stop = asyncio.create_task(self._stop.wait())
        try:
            while not (stop.done() or any(other.done() for other in others)):
                first: list[asyncio.Future[Any]] = [stop, *others, *self._keeping]
                await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
                for task in [task for task in self._keeping if task.done()]:
                    del self._keeping[task]  # it was told to end
                    task.result()
        finally:
            stop.cancel()

    async def _end(self) -> None:
        """Asks all children to end; kills those that take too long, or all at a second signal."""
        self._tell_probes()
        if self._rolling is not None:
            self._rolling.cancel()
            await asyncio.gather(self._rolling, return_exceptions=True)
        keeping = self._keeping
        for child in keeping.values():
            child.stop()
        ended = asyncio.gather(*keeping, return_exceptions=True)
        kill = asyncio.create_task(self._kill.wait())
        first: list[asyncio.Future[Any]] = [ended, kill]
        await asyncio.wait(first, timeout=self._patience, return_when=asyncio.FIRST_COMPLETED)
        kill.cancel()
        if not ended.done():
            _log.warning(
                "kills what has not ended", names=[c.name for task, c in keeping.items() if not task.done()]
            )
            for child in keeping.values():
                child.kill()
        await ended

    def _worker(self, number: int, orders: asyncio.Future[bytes]) -> Child:
        environment = {**os.environ, **worker_environment(self._settings.workers, os.environ)}
        command = [sys.executable, "-m", "mfserve_server.worker"]
        return Child(
            f"worker {number}", command, environment, orders, died=self._note_death, heard=self._tell_probes
        )

    def _tell_probes(self) -> None:
        if self._statuses is not None:
            told = [worker.told for worker in self._workers]
            self._statuses.tell(
                up=any(told) and not self._stop.is_set(),
                serving=any(each.get("serving") for each in told) and not self._stop.is_set(),
            )

    def _note_death(self, told: Mapping[str, Any]) -> None:
        self._deaths += 1
        if told:
            # Nobody is to be told for as long as a lease lasts that a worker serves which has died.
            task = asyncio.create_task(asyncio.to_thread(_withdraw, self._settings, told["server_id"]))
            self._withdrawing.add(task)
            task.add_done_callback(self._withdrawing.discard)
        self._tell_probes()

    def _orders(self, number: int, verdicts: Path, pages: Path) -> bytes:
        orders = Orders(settings=self._settings, worker=number, verdicts=verdicts, pages=pages)
        return orders.model_dump_json().encode()

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
def _exporter(
    settings: Settings, pages: Path, workers: Sequence[Child], deaths: Callable[[], int]
) -> Iterator[None]:
    # Imported here: for who exports nothing the parent need not know Prometheus.
    from mfserve_server.metrics.children_numbers import ChildrenNumbers
    from mfserve_server.metrics.exporter import Exporter
    from mfserve_server.opening import open_registry

    with open_registry(settings, migrate=False, check_later=True) as registry:
        children = ChildrenNumbers(workers, deaths)
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


def _withdraw(settings: Settings, server_id: str) -> None:
    from mfserve_server.preparation import withdraw

    withdraw(settings, server_id)


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
