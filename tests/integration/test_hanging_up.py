"""Callers who do not wait: their work is not done, and nothing of theirs is left."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc.aio
import psutil
import pytest

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from mfserve_registry import Registry
from tests.integration.service import RunningService, running_service
from tests.server.samples import publish
from tests.waiting import eventually

CALLS, STREAMS = 10_000, 1_000
AT_ONCE = 100
SPEC = ModelSpec(model="movies")
ENDS = {grpc.StatusCode.OK, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}
"""Of calls with too short a deadline; the last where the server's clock told of it before the caller's own."""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[RunningService]:
    home = tmp_path / "home"
    with Registry.open(home) as registry:
        publish(registry)
    with running_service(home, "--no-trainer", "--metrics-port", "0") as running:
        yield running


def test_nothing_is_left_of_those_who_hang_up(service: RunningService) -> None:
    worker = psutil.Process(service.workers[0])
    sizes = []
    for _ in range(3):
        asyncio.run(hang_up(service.address))
        eventually(lambda: in_flight(service) == 0, "no call is under way")
        sizes.append(worker.memory_info().rss)
    # What the first time around has grown to is enough for the next.
    assert sizes[2] - sizes[1] < 4 << 20, sizes
    assert "defect" not in (service.home / "service.log").read_text()


async def hang_up(address: str) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = RecommendationServiceStub(channel)
        turns = asyncio.Semaphore(AT_ONCE)

        async def call(number: int) -> None:
            request = pb.RecommendRequest(model_spec=SPEC, user_id=f"u{number % 7}", limit=10)
            async with turns:
                code = await stub.Recommend(request, timeout=0.001).code()
            assert code in ENDS

        async def stream(number: int) -> None:
            async with turns:
                call = stub.StreamRecommend(opened(), timeout=60)
                for _ in range(number % 3):
                    await call.read()
                call.cancel()

        await asyncio.gather(*(call(number) for number in range(CALLS)))
        await asyncio.gather(*(stream(number) for number in range(STREAMS)))


async def opened() -> AsyncIterator[pb.StreamRecommendRequest]:
    """A stream's beginning, and then nothing for ever."""
    yield pb.StreamRecommendRequest(config=pb.StreamRecommendConfig(model_spec=SPEC))
    yield pb.StreamRecommendRequest(batch=pb.UserBatch(batch_id=1, user_ids=["u1", "u2"]))
    await asyncio.Event().wait()


def in_flight(service: RunningService) -> float:
    url = f"http://{service.listens('exports metrics')}/metrics"
    with urllib.request.urlopen(url, timeout=30) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("mfserve_requests_in_flight{"))
