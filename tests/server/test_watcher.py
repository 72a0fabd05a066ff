"""Following the registry while a snapshot or the disk takes its time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from mfserve.v1 import model_service_pb2 as pb
from mfserve_registry import Registry, ServingState
from mfserve_registry.aliases import ResolvedAlias, ResolvedVersion
from mfserve_server.loading import LoadedVersion, Loader
from mfserve_server.opening import open_registry
from mfserve_server.record import RecordFile
from mfserve_server.service import Service
from mfserve_server.settings import Settings
from tests.server.calls import Server
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.server.test_versions import answer, database_away, states, wait_for_version
from tests.waiting import until


class Gate:
    """Where a thread of the server's waits."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()

    def pass_through(self) -> None:
        self.reached.set()
        assert self.open.wait(60)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open.set()


@pytest.fixture
def large(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 1 of ``songs`` is loaded when the gate opens."""
    load = Loader.load

    def slowly(loader: Loader, wanted: ResolvedVersion) -> LoadedVersion:
        if wanted.model == "songs":
            gate.pass_through()
        return load(loader, wanted)

    monkeypatch.setattr(Loader, "load", slowly)


@pytest.mark.usefixtures("large")
async def test_a_long_load_hides_neither_a_loss_nor_a_rollback(
    serve: MakeServer, registry: Registry, gate: Gate
) -> None:
    for seed in (1, 2):
        publish(registry, seed=seed)
    server = await serve()
    registry.aliases.set("movies", "production", 2, expected_revision=1)
    await wait_for_version(server, 2)
    await answer(server, version=1)
    publish(registry, "songs")
    await asyncio.to_thread(gate.reached.wait, 60)
    registry.aliases.set("movies", "production", 1, expected_revision=2)
    await wait_for_version(server, 1)
    with database_away(registry):
        await until(lambda: _is_lost(server))
    await until(lambda: _is_found(server))
    assert (await states(server))["songs", 1].state == pb.SERVING_STATE_LOADING
    gate.open.set()
    await wait_for_version(server, 1, "songs")


@pytest.mark.usefixtures("large")
async def test_a_server_that_starts_is_registered_while_it_loads(
    serve: MakeServer, registry: Registry, home: Path, gate: Gate
) -> None:
    """Also where the registry comes back only then."""
    gate.open.set()
    publish(registry, "songs")
    await (await serve()).service.stop()
    gate.open.clear()
    gate.reached.clear()
    settings = Settings(home=home, port=0, poll_seconds=0.02, drain_seconds=2.0)
    with open_registry(settings, migrate=False) as opened:
        service = Service(settings, opened)
        with database_away(registry):
            starting = asyncio.create_task(service.start())
            await asyncio.to_thread(gate.reached.wait, 60)
        await until(lambda: _is_registered_loading(registry))
        assert not starting.done()
        gate.open.set()
        await starting
        assert _held(registry) == [("songs", ServingState.AVAILABLE)]
        await service.stop()


async def test_a_disk_that_hangs_is_no_lost_database(
    serve: MakeServer, registry: Registry, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in (1, 2):
        publish(registry, seed=seed)
    server = await serve()
    await answer(server, version=2)
    write = RecordFile.write

    def slowly(record: RecordFile, aliases: Sequence[ResolvedAlias]) -> None:
        gate.pass_through()
        write(record, aliases)

    monkeypatch.setattr(RecordFile, "write", slowly)
    registry.aliases.set("movies", "candidate", 2, expected_revision=0)
    await asyncio.to_thread(gate.reached.wait, 60)
    registry.aliases.set("movies", "production", 2, expected_revision=1)
    await wait_for_version(server, 2)


async def _is_lost(server: Server) -> bool:
    status = await server.models.GetServingStatus(pb.GetServingStatusRequest())
    return bool(status.registry.HasField("lost_time"))


async def _is_found(server: Server) -> bool:
    return not await _is_lost(server)


async def _is_registered_loading(registry: Registry) -> bool:
    return _held(registry) == [("songs", ServingState.LOADING)]


def _held(registry: Registry) -> list[tuple[str, ServingState]]:
    return [(lease.model, lease.state) for server in registry.serving.list() for lease in server.leases]
