"""One server process's service, put together: registry, catalog, watcher, servicers, gRPC server."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import structlog
from google.protobuf.descriptor import FileDescriptor

from mfserve.v1 import model_service_pb2, recommendation_service_pb2, training_service_pb2
from mfserve_registry import Registry
from mfserve_registry.contact import Contact
from mfserve_registry.serving import ServingState
from mfserve_server.admission.gates import Gates
from mfserve_server.admission.rates import Rates
from mfserve_server.aliasing import AliasDesk
from mfserve_server.catalog import Catalog
from mfserve_server.comparing import Comparing
from mfserve_server.entrance import Entrance
from mfserve_server.executors import Executors
from mfserve_server.handlers import register
from mfserve_server.health import Health
from mfserve_server.kept import KeptReplies
from mfserve_server.loading import Loader
from mfserve_server.manifests import Manifests
from mfserve_server.metrics.layout import (
    CALLERS_OUTDATED,
    CERTIFICATE_EXPIRES,
    REGISTRY_LOST,
    SWAPS,
    VERSIONS,
)
from mfserve_server.metrics.page import Page
from mfserve_server.modeling import ModelDesk
from mfserve_server.record import RecordFile
from mfserve_server.releasing import Releaser
from mfserve_server.reporting import Reporter
from mfserve_server.scoring import Scoring
from mfserve_server.security.checks import certificate_files
from mfserve_server.security.guard import Guard
from mfserve_server.security.transport import Handshakes
from mfserve_server.servicers.model import ModelService
from mfserve_server.servicers.recommendation import RecommendationService
from mfserve_server.servicers.training import TrainingService
from mfserve_server.settings import Settings
from mfserve_server.shadowing import Shadowing
from mfserve_server.sharing import SharedScoring
from mfserve_server.start_folder import StartFolder, start_folder
from mfserve_server.tally import Tally
from mfserve_server.training import JobWatch, TrainingDesk
from mfserve_server.verification import Verification
from mfserve_server.watcher import Watcher

if TYPE_CHECKING:
    from mfserve_registry.traces.spans import Traces

_log = structlog.get_logger(__name__)

WATCH_SECONDS = 0.2
READ_SECONDS = 0.5
"""How long a change of the file of callers, or of the certificate's files, may take to be seen."""
LOST_WATCH_SECONDS = 1.0

_OPTIONS = (
    ("grpc.so_reuseport", 1),
    # Clients that watch a job ping more often than grpcio's 5 minutes, after which it hangs up on them.
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
)


class Service:
    """Everything that answers in one process. Make it, ``start`` it and ``stop`` it on one event loop.

    Args:
        settings: how.
        registry: open; stays open after ``stop``.
        worker: this process's place among those on the port, from 0.
        folder: what the processes of this start share; by default it is this process's own.
        page: where this process counts; by default one that nobody reads.
        traces: where calls are spans; closed by whoever opened it.

    Attributes:
        kept: replies to repeated requests.
        answers: set when a version has been loaded.
    """

    def __init__(
        self,
        settings: Settings,
        registry: Registry,
        *,
        worker: int = 0,
        folder: StartFolder | None = None,
        page: Page | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._traces = traces
        self._settings = settings
        self._held = ExitStack()
        if folder is None:
            folder = self._held.enter_context(start_folder())
        releaser = Releaser()
        self._held.callback(releaser.close)
        changes = self._changes = asyncio.Event()
        self._contact = Contact(regained=changes.set)
        self._executors = Executors(self._contact)
        self._draining = asyncio.Event()
        self.answers = asyncio.Event()
        self._page = page or Page()
        self._swaps = self._page.counter(SWAPS)
        self._lost = self._page.gauge(REGISTRY_LOST)
        self._versions = {state: self._page.gauge(VERSIONS, state.lower()) for state in ServingState}
        self.kept = KeptReplies(settings.reply_cache_bytes, self._page)
        self._catalog = Catalog(
            registry,
            Loader(registry.snapshots, Verification(folder.verdicts), releaser),
            self._executors,
            max_bytes=settings.max_loaded_bytes,
            max_versions=settings.max_loaded_versions,
            changed=self._note_changes,
            left=self._leave,
        )
        tally = Tally()
        self._shadowing = Shadowing(self._catalog, tally)
        record = RecordFile(settings.home, registry.name)
        self._watcher = Watcher(self._catalog, registry, self._executors, self._contact, record)
        self._reporter = Reporter(
            registry,
            self._executors,
            worker=worker,
            address=f"{settings.host}:{settings.port}",
            leases=self._catalog.leases,
            changes=changes,
            contact=self._contact,
            tally=tally,
        )
        self._server = grpc.aio.server(
            options=(("grpc.max_receive_message_length", settings.max_request_bytes), *_OPTIONS)
        )
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped: asyncio.Task[None] | None = None
        self._looks: list[Callable[[], None]] = []
        self._gates = Gates(settings, self._page)
        self._health = Health(self._gates.public)
        self._health.register(self._server)
        self._rates = Rates(folder.rates)
        self._held.callback(self._rates.close)
        self._register_servicers(registry)

    @property
    def server_id(self) -> str:
        """By which the registry knows this process."""
        return self._reporter.server_id

    async def start(self) -> int:
        """Listens, loads what aliases name, and goes on following them. Returns the port.

        Raises:
            OSError: the address cannot be listened on.
        """
        port = self._listen()
        self._shadowing.start()
        await self._server.start()
        self._tasks.append(asyncio.create_task(self._keep_reading()))
        await self._watcher.recall()
        await self._watcher.look()
        # While what aliases name is loaded, the registry's loss and return are noticed, and it is told what is held.
        self._tasks += [asyncio.create_task(self._keep_looking()), asyncio.create_task(self._reporter.run())]
        await self._follow()
        await self._reporter.report()
        self._tasks.append(asyncio.create_task(self._keep_following()))
        return port

    def _listen(self) -> int:
        host, port = self._settings.host, self._settings.port
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        files = certificate_files(self._settings)
        try:
            if files is None:
                return self._server.add_insecure_port(address)
            handshakes = Handshakes(files, self._page.gauge(CERTIFICATE_EXPIRES).set)
            self._looks.append(handshakes.look)
            return self._server.add_secure_port(address, handshakes.credentials())
        except RuntimeError as error:
            raise OSError(f"cannot listen on {address}") from error

    async def stop(self) -> None:
        """Drains: health says NOT_SERVING, calls under way may end, new ones are sent elsewhere. May be repeated."""
        if self._stopped is None:
            self._stopped = asyncio.create_task(self._drain())
        await asyncio.shield(self._stopped)

    async def _drain(self) -> None:
        self._health.drain()
        await asyncio.sleep(self._settings.notice_seconds)
        # What would go on for ever ends now; every other call may take its time.
        self._health.end_watches()
        self._draining.set()
        await self._server.stop(self._settings.drain_seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._shadowing.close()
        await self._reporter.withdraw()
        await self._catalog.close()
        self._executors.close()
        self._held.close()

    def _register_servicers(self, registry: Registry) -> None:
        self._shared = SharedScoring(
            self._executors, self._settings.max_shared_calls, self._settings.max_delay_seconds, self._page
        )
        scoring = Scoring(self._executors, self._shared)
        desk = TrainingDesk(registry, self._settings.data_roots)

        async def model_of_job(job_id: str) -> str:
            return (await self._executors.registry(registry.jobs.get, job_id)).model

        guard = None
        if self._settings.callers is not None:
            outdated = self._page.gauge(CALLERS_OUTDATED).set
            guard = Guard(self._settings.callers, model_of_job, outdated)
            self._looks.append(guard.look)
        watch = JobWatch(registry, self._executors, poll_seconds=WATCH_SECONDS, draining=self._draining)
        models = ModelDesk(registry, Manifests(registry.snapshots))
        comparing = Comparing(registry, self._catalog, self._executors, models)
        services: Sequence[tuple[FileDescriptor, object]] = (
            (
                recommendation_service_pb2.DESCRIPTOR,
                RecommendationService(
                    self._catalog, self._executors, scoring, self.kept, self._shadowing, self._page
                ),
            ),
            (
                training_service_pb2.DESCRIPTOR,
                TrainingService(registry, self._executors, desk, watch, self._traces),
            ),
            (
                model_service_pb2.DESCRIPTOR,
                ModelService(
                    self._catalog,
                    self._executors,
                    models,
                    AliasDesk(registry),
                    comparing,
                    self._reporter,
                    self._contact,
                ),
            ),
        )
        names = []
        entrance = Entrance(
            self._gates,
            guard,
            self._rates,
            self._settings.stream_idle_seconds,
            self._page,
            self._settings.log_calls,
            self._traces,
        )
        for file, servicer in services:
            for service in file.services_by_name.values():
                register(self._server, service, servicer, entrance)
                names.append(service.full_name)
        if self._settings.reflection:
            from mfserve_server.reflecting import tell_protos  # imports that only those pay who ask for it

            tell_protos(self._server, names, self._gates.public)

    def _note_changes(self) -> None:
        self._changes.set()
        states = Counter(lease.state for lease in self._catalog.leases())
        for state, gauge in self._versions.items():
            gauge.set(states[state])

    def _leave(self, digests: set[str]) -> None:
        self._swaps.add()
        self.kept.end_periods(digests)

    async def _keep_looking(self) -> None:
        while True:
            seconds = self._settings.poll_seconds
            # While it does not answer, callers are not let through to it: they wait for us.
            await asyncio.sleep(seconds if self._contact.loss is None else min(seconds, LOST_WATCH_SECONDS))
            await self._watcher.look()
            self._lost.set(self._contact.loss is not None)

    async def _keep_reading(self) -> None:
        """Apart from the rest, which waits for the database: who may no longer call is not to gain by its silence."""
        while True:
            await asyncio.sleep(min(self._settings.poll_seconds, READ_SECONDS))
            for look in self._looks:
                try:
                    look()
                except Exception:  # noqa: BLE001 - a defect in reading one file must not end the looking at others
                    _log.exception("cannot look at a file, by a defect")

    async def _keep_following(self) -> None:
        while True:
            await self._follow()

    async def _follow(self) -> None:
        await self._watcher.follow()
        if self._catalog.answers:
            self._health.a_version_answers()
            self.answers.set()
