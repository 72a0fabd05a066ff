"""What is deleted is let go of by every server, after the calls under way; what is in use is not deleted."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from mfserve.v1 import common_pb2
from mfserve.v1 import model_service_pb2 as models_pb
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry import Registry
from mfserve_server import reporting
from tests.server.calls import Server, Told, failure, told
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.server.test_versions import answer, states, wait_for_version
from tests.waiting import until


async def deletion(server: Server, version: int) -> Told | None:
    """Deletes the version; what the caller is told where it is refused."""
    request = models_pb.DeleteModelVersionRequest(model="movies", version=version)
    try:
        await server.models.DeleteModelVersion(request)
    except grpc.aio.AioRpcError as error:
        return told(error)
    return None


async def told_of(server: Server, **choice: Any) -> Told | None:
    """Asks for recommendations; what the caller is told where there are none."""
    try:
        await answer(server, **choice)
    except grpc.aio.AioRpcError as error:
        return told(error)
    return None


async def not_found(server: Server, **choice: Any) -> str:
    refused = await told_of(server, **choice)
    assert refused is not None
    assert refused.code is grpc.StatusCode.NOT_FOUND
    return refused.reason


async def test_a_deleted_version_is_let_go_of_by_every_server(serve: MakeServer, registry: Registry) -> None:
    publish(registry, seed=1)
    publish(registry, seed=2)
    servers = [await serve(), await serve()]
    for server in servers:
        assert (await answer(server, version=2)).served_version.version == 2
    assert await deletion(servers[0], 2) is None
    for server in servers:

        async def gone(server: Server = server) -> bool:
            return ("movies", 2) not in await states(server)

        await until(gone)
        assert await not_found(server, version=2) == "VERSION_NOT_FOUND"
        assert (await answer(server, alias="latest")).served_version.version == 1


async def test_a_version_that_could_not_be_loaded_is_told_of_until_it_is_deleted(
    serve: MakeServer, registry: Registry
) -> None:
    publish(registry, seed=1)
    damaged = publish(registry, seed=2)
    (registry.snapshots.path(damaged.digest) / "manifest.json").unlink()
    server = await serve()
    assert await told_of(server, version=2) is not None
    assert (await states(server))["movies", 2].state == models_pb.SERVING_STATE_FAILED
    registry.models.delete_version("movies", 2)

    async def gone() -> bool:
        return ("movies", 2) not in await states(server)

    await until(gone)


async def test_a_version_in_production_is_not_deleted_until_every_server_has_left_it(
    serve: MakeServer, registry: Registry
) -> None:
    publish(registry, seed=1)
    damaged = publish(registry, seed=2)
    manifest = registry.snapshots.path(damaged.digest) / "manifest.json"
    content = manifest.read_bytes()
    manifest.unlink()
    server = await serve()
    refused = await deletion(server, 1)
    assert refused is not None
    assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "VERSION_IN_USE")
    assert refused.metadata["aliases"] == "production"
    registry.aliases.set("movies", "production", 2, expected_revision=1)
    # The server cannot load what the alias names now, and goes on with what it named before.
    refused = await deletion(server, 1)
    assert refused is not None
    assert refused.metadata.keys() == {"model", "version", "servers"}
    manifest.write_bytes(content)
    await wait_for_version(server, 2)

    async def deleted() -> bool:
        return await deletion(server, 1) is None

    await until(deleted)


async def test_a_stream_keeps_its_version_and_ends_as_it_began(
    serve: MakeServer, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporting, "HEARTBEAT_SECONDS", 0.02)
    publish(registry, seed=1)
    publish(registry, seed=2)
    server = await serve()
    call = server.recommendations.StreamRecommend()
    spec = common_pb2.ModelSpec(model="movies", version=2)
    await call.write(pb.StreamRecommendRequest(config=pb.StreamRecommendConfig(model_spec=spec)))
    assert (await call.read()).started.served_version.version == 2
    assert (await states(server))["movies", 2].streams == 1

    async def is_told() -> bool:
        (status,) = registry.serving.list()
        return any(lease.streams for lease in status.leases)

    await until(is_told)
    refused = await deletion(server, 2)
    assert refused is not None
    assert refused.metadata.keys() == {"model", "version", "servers"}
    await call.write(pb.StreamRecommendRequest(batch=pb.UserBatch(batch_id=1, user_ids=["u1"])))
    await call.done_writing()
    assert (await call.read()).batch.batch_id == 1
    assert await call.read() is grpc.aio.EOF

    async def deleted() -> bool:
        return await deletion(server, 2) is None

    await until(deleted)


async def test_a_call_under_way_ends_though_its_version_is_deleted(
    serve: MakeServer, registry: Registry
) -> None:
    publish(registry, seed=1)
    publish(registry, seed=2)
    server = await serve()
    call = server.recommendations.StreamRecommend()
    spec = common_pb2.ModelSpec(model="movies", version=2)
    await call.write(pb.StreamRecommendRequest(config=pb.StreamRecommendConfig(model_spec=spec)))
    assert (await call.read()).started.served_version.version == 2
    with (
        registry._database.write() as connection
    ):  # as if it had been deleted before the server told of the stream
        connection.exec_driver_sql("UPDATE versions SET deleted_at = created_at WHERE version = 2")

    async def gone() -> bool:
        refused = await told_of(server, version=2)
        return refused is not None and refused.code is grpc.StatusCode.NOT_FOUND

    await until(gone)
    await call.write(pb.StreamRecommendRequest(batch=pb.UserBatch(batch_id=1, user_ids=["u1"])))
    await call.done_writing()
    assert (await call.read()).batch.batch_id == 1


async def test_a_deleted_alias_answers_no_more_and_then_the_model_may_go(
    serve: MakeServer, registry: Registry
) -> None:
    publish(registry, seed=1)
    server = await serve()
    await answer(server)
    request = models_pb.DeleteModelRequest(model="movies")
    found = await failure(server.models.DeleteModel(request))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MODEL_IN_USE")
    assert found.metadata == {
        "model": "movies",
        "aliases": "production",
        "servers": found.metadata["servers"],
    }
    await server.models.DeleteAlias(
        models_pb.DeleteAliasRequest(model="movies", alias="production", expected_revision=1)
    )

    async def gone() -> bool:
        return not await states(server)

    await until(gone)
    assert await not_found(server) == "ALIAS_NOT_FOUND"
    assert (await answer(server, version=1)).served_version.version == 1
    await server.models.DeleteModel(request)
    await until(gone)
    assert await not_found(server, version=1) == "MODEL_NOT_FOUND"
    assert not (await server.models.ListModels(models_pb.ListModelsRequest())).models
    assert publish(registry, seed=3).version == 2
    assert (await answer(server)).served_version.version == 2
