"""Three times as many calls as a large catalogue can be searched for: who is answered, who is refused, and how soon."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np

from benchmarks.load.memory import rollup_bytes
from benchmarks.load.snapshots import Size, publish
from benchmarks.load.traffic import OPTIONS
from benchmarks.service import Started, started
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from mfserve_registry import Registry

MODEL = "catalogue"
CALLERS = 64
_DEADLINE = 30.0
_HEALTH = "/grpc.health.v1.Health/Check"


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure.

    Attributes:
        size: of the catalogue.
        warm: seconds of calls, one after the other and 64 at a time, before the overload.
        seconds: of the overload.
        times: the capacity.
        patience: the longest delay that callers put up with (``max_delay_seconds``), in p99s of a lone caller.
    """

    size: Size
    warm: float = 8.0
    seconds: float = 30.0
    times: float = 3.0
    patience: float = 2.0


@dataclass(slots=True)
class _Calls:
    """Seconds of calls by how they ended."""

    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    pushbacks: int = 0
    others: list[str] = field(default_factory=list)


def measure(folder: Path, plan: Plan) -> dict[str, Any]:
    """The worker is on the first core, callers are on the last."""
    home = folder / "overload"
    with Registry.open(home) as registry:
        publish(registry, MODEL, plan.size)
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[-1]})
    try:
        with _service(home, cores[0]) as service:
            alone = asyncio.run(_alone(service, plan))
        patience = plan.patience * alone["p99_ms"] / 1e3
        with _service(home, cores[0], MFSERVE_MAX_DELAY_SECONDS=str(patience)) as service:
            found = asyncio.run(_overload(service, home, plan))
    finally:
        os.sched_setaffinity(0, cores)
    return {"alone": alone, "max_delay_seconds": patience, **found}


def _service(home: Path, core: int, **environment: str) -> Any:
    settings = {"MFSERVE_REPLY_CACHE_BYTES": "0", "MFSERVE_HEALTH_PORT": "0", **environment}
    return started(home, "--no-trainer", core=core, environment=settings)


async def _alone(service: Started, plan: Plan) -> dict[str, Any]:
    """One caller; and what 64 get through when nobody is refused."""
    async with _stub(service.address) as (recommend, users):
        calls = _Calls()
        until = time.monotonic() + plan.warm
        while time.monotonic() < until:
            await _call(recommend, users(), calls)
        rate = await _closed(recommend, users, plan.warm, _Calls())
    return {"p50_ms": _ms(calls.answered, 50), "p99_ms": _ms(calls.answered, 99), "capacity": rate}


async def _overload(service: Started, home: Path, plan: Plan) -> dict[str, Any]:
    health = _health_address(home)
    async with _stub(service.address) as (recommend, users):
        capacity = await _closed(recommend, users, plan.warm, _Calls())
        before = rollup_bytes(service.workers[0])
        calls, memory = _Calls(), [before]
        checks: list[float] = []
        over = asyncio.Event()
        watching = [
            asyncio.create_task(_check_health(health, over, checks)),
            asyncio.create_task(_weigh(service.workers[0], over, memory)),
        ]
        await _open(recommend, users, plan.times * capacity, plan.seconds, calls)
        ended = time.monotonic()
        over.set()
        await asyncio.gather(*watching)
        again = []
        while time.monotonic() < ended + 4.0:
            again.append(await _closed(recommend, users, 0.5, _Calls()))
    full = next((0.5 * (number + 1) for number, rate in enumerate(again) if rate >= 0.9 * capacity), None)
    return {
        "capacity": capacity,
        "offered": plan.times * capacity,
        "answered_per_second": len(calls.answered) / plan.seconds,
        "answered": {"p50_ms": _ms(calls.answered, 50), "p99_ms": _ms(calls.answered, 99)},
        "refused": {
            "calls": len(calls.refused),
            "p50_ms": _ms(calls.refused, 50),
            "p99_ms": _ms(calls.refused, 99),
            "max_ms": _ms(calls.refused, 100),
            "with_pushback": calls.pushbacks,
        },
        "otherwise": sorted(set(calls.others)),
        "health": {"checks": len(checks), "p99_ms": _ms(checks, 99), "max_ms": _ms(checks, 100)},
        "memory_grown_bytes": max(memory) - before,
        "full_speed_after_seconds": full,
        "speeds_after": again,
    }


class _stub:  # noqa: N801 - used as a function
    """A channel's Recommend, and random users."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.aio.insecure_channel(address, options=OPTIONS)

    async def __aenter__(self) -> tuple[Callable[..., Any], Callable[[], str]]:
        random = np.random.default_rng(0)
        return RecommendationServiceStub(self._channel).Recommend, lambda: f"u{random.integers(1000)}"

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()


async def _call(recommend: Callable[..., Any], user: str, calls: _Calls) -> None:
    begun = time.monotonic()
    request = pb.RecommendRequest(model_spec=ModelSpec(model=MODEL), user_id=user, limit=10)
    try:
        await recommend(request, timeout=_DEADLINE)
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
            calls.refused.append(time.monotonic() - begun)
            calls.pushbacks += any(
                key == "grpc-retry-pushback-ms" for key, _ in error.trailing_metadata() or ()
            )
        else:
            calls.others.append(str(error.code()))
    else:
        calls.answered.append(time.monotonic() - begun)


async def _closed(
    recommend: Callable[..., Any], users: Callable[[], str], seconds: float, calls: _Calls
) -> float:
    """Calls a second that 64 callers get answers to, who call again at once; who is refused waits a little."""
    begun = time.monotonic()

    async def caller() -> None:
        while time.monotonic() < begun + seconds:
            refused = len(calls.refused)
            await _call(recommend, users(), calls)
            if len(calls.refused) > refused:
                await asyncio.sleep(0.01)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return len(calls.answered) / (time.monotonic() - begun)


async def _open(
    recommend: Callable[..., Any], users: Callable[[], str], rate: float, seconds: float, calls: _Calls
) -> None:
    begun = time.monotonic()
    pending: set[asyncio.Task[None]] = set()
    for number in range(round(rate * seconds)):
        await asyncio.sleep(max(begun + number / rate - time.monotonic(), 0.0))
        task = asyncio.create_task(_call(recommend, users(), calls))
        pending.add(task)
        task.add_done_callback(pending.discard)
    await asyncio.gather(*pending)


async def _check_health(address: str, over: asyncio.Event, checks: list[float]) -> None:
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        check: Callable[..., Awaitable[bytes]] = channel.unary_unary(_HEALTH)
        while not over.is_set():
            begun = time.monotonic()
            if await check(b"", timeout=_DEADLINE) != b"\x08\x01":
                raise SystemExit("health says NOT_SERVING")
            checks.append(time.monotonic() - begun)
            await asyncio.sleep(0.05)


async def _weigh(pid: int, over: asyncio.Event, memory: list[int]) -> None:
    while not over.is_set():
        memory.append(rollup_bytes(pid))
        await asyncio.sleep(1.0)


def _health_address(home: Path) -> str:
    lines = (home / "service.log").read_text().splitlines()
    return str(json.loads([line for line in lines if '"answers health checks"' in line][-1])["address"])


def _ms(seconds: list[float], percent: float) -> float | None:
    return round(1e3 * float(np.percentile(seconds, percent)), 2) if seconds else None
