"""A bulk reader that stops reading: what it costs the server's memory and other callers, and what it gets at last."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio

from benchmarks.load.snapshots import Size, publish
from benchmarks.load.traffic import OPTIONS, Traffic, latencies
from benchmarks.service import started
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from mfserve_registry import Registry

MODEL = "movies"
SIZE = Size(1_000, 1_700, factors=48)
"""As MovieLens 100K."""
_USERS_A_BATCH = 512
_DISTINCT = 10
"""So many batches differ; then they begin again, so that every answer is known beforehand."""
_SAMPLE_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure.

    Attributes:
        batches: of the stream; their answers must be far more than any buffer between server and reader holds.
        silent: seconds during which the reader does not read.
        before: seconds of traffic whose p99 that of the silent time is compared with.
        rate: other callers' calls a second.
    """

    batches: int = 2_000
    silent: float = 30.0
    before: float = 30.0
    rate: float = 200.0


def measure(folder: Path, plan: Plan) -> dict[str, Any]:
    """One worker on the first core; the reader and the other callers on the second where there is one."""
    home = folder / "slow-reader"
    with Registry.open(home) as registry:
        publish(registry, MODEL, SIZE, seed=1)
    cores = sorted(os.sched_getaffinity(0))
    with started(home, "--no-trainer", core=cores[0]) as service:
        os.sched_setaffinity(0, {cores[-1]})
        try:
            return asyncio.run(_measure(service.address, service.workers[0], plan))
        finally:
            os.sched_setaffinity(0, cores)


async def _measure(address: str, worker: int, plan: Plan) -> dict[str, Any]:
    # Also for what a stream at full speed needs to be there before we begin to count.
    expected = [_content(batch) async for batch in _stream(address, plan.batches // 4)][:_DISTINCT]
    traffic, over = Traffic(address, MODEL, SIZE.users, plan.rate), asyncio.Event()
    running = asyncio.create_task(traffic.run(over))
    await asyncio.sleep(min(2.0, plan.before))
    began = time.monotonic()
    await asyncio.sleep(plan.before)
    resting, received = _resident_bytes(worker), 0
    stopped, resumed, largest = time.monotonic(), 0.0, 0
    async for batch in _stream(address, plan.batches):
        if (batch.batch_id, _content(batch)) != (received, expected[received % _DISTINCT]):
            raise SystemExit(f"batch {received} of the stream has a wrong answer")
        received += 1
        if received == 2:
            largest = await _largest(worker, plan.silent)
            resumed = time.monotonic()
    if received != plan.batches:
        raise SystemExit(f"the stream ended after {received} of {plan.batches} batches")
    over.set()
    await running
    before, during = (latencies(traffic.between(*span)) for span in ((began, stopped), (stopped, resumed)))
    return {
        "batches": plan.batches,
        "reply_bytes": sum(map(len, expected)) * plan.batches // len(expected),
        "silent_seconds": plan.silent,
        "resting_bytes": resting,
        "grew_bytes": largest - resting,
        "grew_when_read_bytes": _resident_bytes(worker) - resting,
        "before": before,
        "during": during,
        "ratio": during["p99_ms"] / before["p99_ms"],
    }


async def _stream(address: str, batches: int) -> AsyncIterator[pb.RecommendationBatch]:
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        async for response in RecommendationServiceStub(channel).StreamRecommend(_requests(batches)):
            if response.HasField("batch"):
                yield response.batch


async def _requests(batches: int) -> AsyncIterator[pb.StreamRecommendRequest]:
    yield pb.StreamRecommendRequest(config=pb.StreamRecommendConfig(model_spec=ModelSpec(model=MODEL)))
    for number in range(batches):
        first = number % _DISTINCT * 97
        users = [f"u{user % SIZE.users}" for user in range(first, first + _USERS_A_BATCH)]
        yield pb.StreamRecommendRequest(batch=pb.UserBatch(batch_id=number, user_ids=users))


def _content(batch: pb.RecommendationBatch) -> bytes:
    """All of an answer but its number."""
    alone = pb.RecommendationBatch()
    alone.CopyFrom(batch)
    alone.ClearField("batch_id")
    return alone.SerializeToString(deterministic=True)


async def _largest(pid: int, seconds: float) -> int:
    """The largest resident size of a process within so many seconds."""
    largest, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        largest = max(largest, _resident_bytes(pid))
        await asyncio.sleep(_SAMPLE_SECONDS)
    return largest


def _resident_bytes(pid: int) -> int:
    """Second field of statm (proc(5)), which does not hold up the process as smaps does."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
