"""Calls that cannot be answered now: at once while the registry is lost, and saying what does not answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mfserve.v1 import common_pb2
from mfserve.v1 import model_service_pb2 as pb
from mfserve.v1 import training_service_pb2 as training_pb
from mfserve_registry import Registry
from mfserve_registry.errors import Unavailable
from mfserve_registry.snapshot import SnapshotStore
from mfserve_server import executors
from tests.server.calls import Server, failure
from tests.server.conftest import MakeServer
from tests.server.samples import PICTURE, publish
from tests.server.test_upload import batch, end, header, left_behind
from tests.waiting import until

SPEC = common_pb2.ModelSpec(model="movies", version=1)
VERSIONS = pb.ListModelVersionsRequest(model="movies")


@pytest.fixture
async def server(serve: MakeServer, registry: Registry) -> Server:
    """Serves a version, and does not look by itself whether the registry answers."""
    publish(registry)
    return await serve(poll_seconds=60)


def lose(server: Server) -> None:
    server.service._contact.failed(Unavailable("It is away."))


async def test_what_needs_the_lost_registry_is_refused_at_once(server: Server) -> None:
    lose(server)
    models, trainings = server.models, server.trainings
    for call in (
        models.GetModel(pb.GetModelRequest(model="movies")),
        models.ListModelVersions(VERSIONS),
        models.CompareModelVersions(
            pb.CompareModelVersionsRequest(model="movies", version=1, other_version=2)
        ),
        models.GetArtifact(pb.GetArtifactRequest(model_spec=SPEC, name=PICTURE.name)),
        trainings.GetTrainingJob(training_pb.GetTrainingJobRequest(job_id="job")),
        trainings.UploadDataset(iter([header(), batch(), end(2)])),
    ):
        assert (await failure(call)).message == "It is away."


async def test_an_upload_does_not_end_without_the_registry(server: Server, home: Path) -> None:
    lost = asyncio.Event()

    async def sent() -> AsyncIterator[training_pb.UploadDatasetRequest]:
        yield header()
        yield batch()
        await lost.wait()
        yield end(2)

    call = asyncio.create_task(failure(server.trainings.UploadDataset(sent())))
    await until(lambda: left_behind(home) != [])
    lose(server)
    lost.set()
    assert (await call).message == "It is away."
    assert left_behind(home) == []


async def test_a_store_that_says_nothing_is_named_and_holds_up_nothing_else(
    server: Server, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    silence, manifest = threading.Event(), SnapshotStore.manifest

    def silent(store: SnapshotStore, digest: str) -> bytes:
        silence.wait()
        return manifest(store, digest)

    monkeypatch.setattr(SnapshotStore, "manifest", silent)
    try:
        with monkeypatch.context() as patched:
            patched.setattr(executors, "DESCRIBING_SECONDS", 0.1)
            calls = (server.models.ListModelVersions(VERSIONS) for _ in range(executors.REGISTRY_THREADS))
            refused = await asyncio.gather(*map(failure, calls))
        message = "The registry's store does not answer in time; try again."
        assert {(told.message, told.retry_seconds) for told in refused} == {(message, 1.0)}
        assert (await server.models.GetModel(pb.GetModelRequest(model="movies"))).model.latest_version == 1
    finally:
        silence.set()
    assert len((await server.models.ListModelVersions(VERSIONS)).versions) == 1


async def test_versions_are_described_several_at_a_time(
    server: Server, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(1, executors.DESCRIBING_THREADS):
        publish(registry, seed=seed)
    together, manifest = threading.Barrier(executors.DESCRIBING_THREADS, timeout=30), SnapshotStore.manifest

    def read(store: SnapshotStore, digest: str) -> bytes:
        together.wait()
        return manifest(store, digest)

    monkeypatch.setattr(SnapshotStore, "manifest", read)
    listed = await server.models.ListModelVersions(VERSIONS)
    assert [version.served_version.version for version in listed.versions] == list(
        range(executors.DESCRIBING_THREADS, 0, -1)
    )
