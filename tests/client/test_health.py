"""Readiness, against grpcio's own health servicer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mfserve._client.health import serving
from mfserve.errors import DeadlineExceededError
from tests.client.conftest import Connect, Serve

Status = health_pb2.HealthCheckResponse.ServingStatus


class Healthy:
    """A server with nothing but health."""

    def __init__(self) -> None:
        self.servicer = health.HealthServicer()
        self.server = grpc.server(ThreadPoolExecutor(4))
        health_pb2_grpc.add_HealthServicer_to_server(self.servicer, self.server)
        self.address = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.say("NOT_SERVING")
        self.server.start()

    def say(self, status: str) -> None:
        self.servicer.set("", Status.Value(status))


@pytest.fixture
def healthy() -> Iterator[Healthy]:
    server = Healthy()
    yield server
    server.server.stop(None).wait()


@pytest.mark.parametrize("status", Status.keys())
def test_responses_are_read_as_the_generated_class_writes_them(status: str) -> None:
    written = health_pb2.HealthCheckResponse(status=Status.Value(status)).SerializeToString()
    assert serving(written) is (status == "SERVING")


async def test_ready(healthy: Healthy, connect: Connect) -> None:
    client = connect(healthy.address)
    assert not await client.ready()
    healthy.say("SERVING")
    assert await client.ready()
    await client.wait_ready()


async def test_waits_until_the_server_serves(healthy: Healthy, connect: Connect) -> None:
    waiting = asyncio.create_task(connect(healthy.address).wait_ready(timeout=60))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    healthy.say("SERVING")
    await waiting


async def test_waits_for_a_server_that_has_yet_to_start(serve: Serve, connect: Connect) -> None:
    server = serve()
    server.stop()
    client = connect(server.address)
    assert not await client.ready(timeout=1)
    waiting = asyncio.create_task(client.wait_ready(timeout=60))
    late = grpc.server(ThreadPoolExecutor(4))
    servicer = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, late)
    late.add_insecure_port(server.address)
    late.start()
    await waiting
    late.stop(None).wait()


async def test_gives_up_in_time(healthy: Healthy, connect: Connect) -> None:
    with pytest.raises(DeadlineExceededError, match=r"was not ready within 0\.3 s"):
        await connect(healthy.address).wait_ready(timeout=0.3)
