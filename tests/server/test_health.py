"""Health, reflection and draining of one process."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from mfserve.v1 import common_pb2
from mfserve.v1 import model_service_pb2 as models_pb
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1 import training_service_pb2 as training_pb
from mfserve_registry import Registry
from mfserve_server.healthcheck import check
from mfserve_server.statuses import MODEL, RECOMMENDATION, TRAINING
from tests.http2 import unread_call
from tests.server.calls import Server, failure
from tests.server.conftest import MakeServer
from tests.server.samples import job_request, publish
from tests.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def health(server: Server, service: str = "") -> int:
    stub = health_pb2_grpc.HealthStub(server.channel)
    return int((await stub.Check(health_pb2.HealthCheckRequest(service=service))).status)


async def test_an_empty_registry_can_be_trained_but_recommends_nothing(
    server: Server, registry: Registry
) -> None:
    assert [await health(server, name) for name in ("", RECOMMENDATION)] == [NOT_SERVING] * 2
    assert [await health(server, name) for name in (TRAINING, MODEL)] == [SERVING] * 2
    publish(registry)

    async def serves() -> bool:
        return bool(await health(server) == SERVING)

    await until(serves)
    assert await health(server, RECOMMENDATION) == SERVING


async def test_a_server_with_a_version_serves_from_its_start(serve: MakeServer, registry: Registry) -> None:
    publish(registry)
    assert await health(await serve()) == SERVING


async def test_the_health_check_of_containers(serve: MakeServer, registry: Registry) -> None:
    server = await serve()
    assert await asyncio.to_thread(check, server.address) == "NOT_SERVING"
    assert await asyncio.to_thread(check, server.address, TRAINING) == "SERVING"
    assert await asyncio.to_thread(check, server.address, "nothing") == "NOT_FOUND"
    assert await asyncio.to_thread(check, "127.0.0.1:1") == "UNAVAILABLE"


async def test_reflection_is_there_if_asked_for(serve: MakeServer) -> None:
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=RECOMMENDATION)
    reflecting = reflection_pb2_grpc.ServerReflectionStub((await serve(reflection=True)).channel)
    (answer,) = [response async for response in reflecting.ServerReflectionInfo(iter([request]))]
    files = [
        FileDescriptorProto.FromString(data) for data in answer.file_descriptor_response.file_descriptor_proto
    ]
    assert "RecommendationService" in {service.name for file in files for service in file.service}
    silent = reflection_pb2_grpc.ServerReflectionStub((await serve()).channel)
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        [response async for response in silent.ServerReflectionInfo(iter([request]))]
    assert raised.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_watcher_who_does_not_read_holds_nothing_up(serve: MakeServer, registry: Registry) -> None:
    server = await serve(drain_seconds=0.1)
    with ExitStack() as watchers:
        for _ in range(3):
            await asyncio.to_thread(
                watchers.enter_context, unread_call(server.address, "/grpc.health.v1.Health/Watch")
            )
        watch = health_pb2_grpc.HealthStub(server.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == NOT_SERVING
        publish(registry)
        assert (await watch.read()).status == SERVING
        assert await health(server) == SERVING
        await asyncio.wait_for(server.service.stop(), 10)
        assert (await watch.read()).status == NOT_SERVING
        assert await watch.read() == grpc.aio.EOF


async def test_streams_without_a_token_have_places_of_their_own_and_no_more(
    serve: MakeServer, registry: Registry
) -> None:
    publish(registry)
    server = await serve(max_concurrent_streams=1, reflection=True)
    stub = health_pb2_grpc.HealthStub(server.channel)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    for stream, refusal in (
        # Upon which gRPC clients go on without watching; another status would mean to them that the server fails.
        (stub.Watch(health_pb2.HealthCheckRequest()), grpc.StatusCode.UNIMPLEMENTED),
        (
            reflection_pb2_grpc.ServerReflectionStub(server.channel).ServerReflectionInfo(iter([])),
            grpc.StatusCode.RESOURCE_EXHAUSTED,
        ),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as raised:
            await stream.read()
        assert raised.value.code() == refusal
    assert await health(server) == SERVING
    bulk = server.recommendations.StreamRecommend()
    spec = common_pb2.ModelSpec(model="movies")
    await bulk.write(pb.StreamRecommendRequest(config=pb.StreamRecommendConfig(model_spec=spec)))
    assert (await bulk.read()).started.served_version.version == 1
    watch.cancel()

    async def is_free() -> bool:
        another = stub.Watch(health_pb2.HealthCheckRequest())
        try:
            return bool((await another.read()).status == SERVING)
        except grpc.aio.AioRpcError:
            return False
        finally:
            another.cancel()

    await until(is_free)


async def test_a_drain_is_told_ends_watches_and_lets_calls_end(serve: MakeServer, registry: Registry) -> None:
    publish(registry)
    server = await serve(notice_seconds=0.5, drain_seconds=60.0)
    watch = health_pb2_grpc.HealthStub(server.channel).Watch(health_pb2.HealthCheckRequest())
    assert (await watch.read()).status == SERVING
    job, _ = registry.jobs.submit(job_request())
    following = server.trainings.WatchTrainingJob(training_pb.WatchTrainingJobRequest(job_id=job.job_id))
    changes = aiter(following)
    assert (await anext(changes)).job.job_id == job.job_id
    stream = server.recommendations.StreamRecommend()
    spec = common_pb2.ModelSpec(model="movies")
    await stream.write(pb.StreamRecommendRequest(config=pb.StreamRecommendConfig(model_spec=spec)))
    await stream.read()

    stopping = asyncio.create_task(server.service.stop())
    assert (await watch.read()).status == NOT_SERVING
    # Told, and not yet begun: a load balancer has time to look elsewhere.
    assert (await server.models.ListModels(models_pb.ListModelsRequest())).models
    found = await failure(changes)
    assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    await stream.write(pb.StreamRecommendRequest(batch=pb.UserBatch(batch_id=5, user_ids=["u1"])))
    assert (await stream.read()).batch.batch_id == 5
    await stream.done_writing()
    assert await stream.read() == grpc.aio.EOF
    await asyncio.wait_for(stopping, 10)
    assert registry.serving.list() == []


async def test_a_call_that_does_not_end_is_cut_after_the_time_for_it(
    serve: MakeServer, registry: Registry
) -> None:
    publish(registry)
    server = await serve(drain_seconds=0.1)
    stream: Any = server.recommendations.StreamRecommend()
    spec = common_pb2.ModelSpec(model="movies")
    await stream.write(pb.StreamRecommendRequest(config=pb.StreamRecommendConfig(model_spec=spec)))
    await stream.read()
    await asyncio.wait_for(server.service.stop(), 10)
    with pytest.raises(grpc.aio.AioRpcError):
        await stream.read()
    assert await stream.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
