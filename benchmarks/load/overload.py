"""Three times as many calls as a large catalogue can be searched for: who is answered, who is refused, and how soon."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc.aio

from benchmarks.load import contestants, sharing
from benchmarks.load.contestants import Services
from benchmarks.load.cores import stolen
from benchmarks.load.memory import rollup_bytes
from benchmarks.load.serving import Serving
from benchmarks.load.stats import table
from benchmarks.load.traffic import OPTIONS
from mfserve.cli._latencies import percentile
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub

TIMES = 3.0
"""The capacity. What was really offered is told: a load that is itself short of time offers less."""
PATIENCE = 2.0
"""The longest delay that callers put up with (``max_delay_seconds``), in p99s of a lone caller. It bounds what scoring
is expected to take; what a call takes besides, and chance, come on top."""
FREE = "64 callers, nobody refused"
LIMITED = "64 callers, with the limit"
"""Two capacities: what 64 callers get through, however late, and what they get within the delay."""
_USERS = 50
_DEADLINE = 30.0
_ALONE_AFTER = 0.5
_ALL_AFTER = 1.5
"""Seconds after the overload in which a lone caller calls, and then, up to two seconds after it, 64."""
_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = b"\x08\x01"


@dataclass(slots=True)
class _Calls:
    """Seconds of calls by how they ended."""

    answered: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    pushbacks: int = 0
    others: Counter[str] = field(default_factory=Counter)


class _Caller:
    """Asks one server for the recommendations of one user after the other."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._recommend = RecommendationServiceStub(channel).Recommend
        self._number = 0

    async def call(self, calls: _Calls) -> float:
        """Seconds after which the server asks to be called again; 0 where it answered."""
        self._number += 1
        request = pb.RecommendRequest(
            model_spec=ModelSpec(model=sharing.MODEL), user_id=f"u{self._number % _USERS}", limit=10
        )
        begun = time.monotonic()
        try:
            await self._recommend(request, timeout=_DEADLINE)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                calls.refused.append(time.monotonic() - begun)
                if (
                    pushback := dict(error.trailing_metadata() or ()).get("grpc-retry-pushback-ms")
                ) is not None:
                    calls.pushbacks += 1
                    return int(pushback) / 1e3
            else:
                calls.others[error.code().name] += 1
            return 0.0
        calls.answered.append(time.monotonic() - begun)
        return 0.0

    async def closed(self, seconds: float, calls: _Calls, callers: int = max(sharing.CALLERS)) -> float:
        """Calls a second that so many callers get answers to, who call again at once, or when they were asked to."""
        begun = time.monotonic()

        async def one() -> None:
            while time.monotonic() < begun + seconds:
                if pushback := await self.call(calls):
                    await asyncio.sleep(pushback)

        await asyncio.gather(*(one() for _ in range(callers)))
        return len(calls.answered) / (time.monotonic() - begun)

    async def open(self, rate: float, seconds: float, calls: _Calls) -> tuple[float, float]:
        """Calls at a rate, whatever becomes of them: how many a second were made, and answered."""
        begun = time.monotonic()
        made = 0
        async with asyncio.TaskGroup() as tasks:
            while (due := begun + made / rate) < begun + seconds:
                await asyncio.sleep(max(due - time.monotonic(), 0.0))
                tasks.create_task(self.call(calls))
                made += 1
            offered = made / (time.monotonic() - begun)
        return offered, len(calls.answered) / (time.monotonic() - begun)


def measure(services: Services, home: Path, *, seconds: float) -> dict[str, Any]:
    """Figures of a lone caller, of 64, and of three times either capacity, each for ``seconds``."""
    free = services.of(home, contestants.NO_KEPT_REPLIES | {"MFSERVE_MAX_DELAY_SECONDS": "3600"})
    warm = seconds / 4
    found = asyncio.run(_unloaded(free, warm))
    patience = PATIENCE * found["alone"]["p99_ms"] / 1e3
    limits = {"MFSERVE_MAX_DELAY_SECONDS": str(patience), "MFSERVE_HEALTH_PORT": "0"}
    limited = services.of(home, contestants.NO_KEPT_REPLIES | limits)
    health = _health_address(home)
    found |= {"max_delay_ms": 1e3 * patience, LIMITED: asyncio.run(_capacity(limited, warm))}
    over = {
        capacity: asyncio.run(_overload(limited, health, found[capacity], warm, seconds))
        for capacity in (LIMITED, FREE)
    }
    return found | {"overload": over}


async def _unloaded(server: Serving, seconds: float) -> dict[str, Any]:
    async with _caller(server) as caller:
        await caller.closed(seconds / 4, _Calls(), callers=1)
        alone = _Calls()
        await caller.closed(seconds, alone, callers=1)
    return {"alone": _quantiles(alone.answered), FREE: await _capacity(server, seconds)}


async def _capacity(server: Serving, seconds: float) -> float:
    async with _caller(server) as caller:
        await caller.closed(seconds / 2, _Calls())
        return await caller.closed(seconds, _Calls())


async def _overload(
    server: Serving, health: str, capacity: float, warm: float, seconds: float
) -> dict[str, Any]:
    async with _caller(server) as caller:
        before_rate = await caller.closed(warm, _Calls())
        before = rollup_bytes(server.pid)
        over = asyncio.Event()
        watching = asyncio.gather(_checks(health, over), _weights(server.pid, over))
        calls, begun, stolen_before = _Calls(), time.monotonic(), stolen()
        offered, answered = await caller.open(TIMES * capacity, seconds, calls)
        stolen_share = (stolen() - stolen_before) / (time.monotonic() - begun)
        over.set()
        checks, weights = await watching
        alone_after = _Calls()
        await caller.closed(min(_ALONE_AFTER, seconds), alone_after, callers=1)
        after_rate = await caller.closed(min(_ALL_AFTER, seconds), _Calls())
    return {
        "64_callers_before": before_rate,
        "offered": offered,
        "answered_per_second": answered,
        "answered": _quantiles(calls.answered),
        "refused": {
            "calls": len(calls.refused),
            "with_pushback": calls.pushbacks,
            **_quantiles(calls.refused),
        },
        "otherwise": dict(calls.others),
        "health": {"checks": len(checks), **_quantiles(checks)},
        "stolen_share": stolen_share,
        "memory_grown_bytes": max(weights) - before,
        "alone_after": _quantiles(alone_after.answered),
        "64_callers_after": after_rate,
    }


@asynccontextmanager
async def _caller(server: Serving) -> AsyncIterator[_Caller]:
    async with grpc.aio.insecure_channel(server.address, options=OPTIONS) as channel:
        yield _Caller(channel)


async def _checks(address: str, over: asyncio.Event) -> list[float]:
    """Seconds of health checks, twenty a second."""
    found = []
    async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
        check: Callable[..., Any] = channel.unary_unary(_HEALTH)
        while not over.is_set():
            begun = time.monotonic()
            if await check(b"", timeout=_DEADLINE) != _SERVING:
                raise SystemExit("overload: health says NOT_SERVING")
            found.append(time.monotonic() - begun)
            await asyncio.sleep(0.05)
    return found


async def _weights(pid: int, over: asyncio.Event) -> list[int]:
    """Bytes of the process, every second."""
    found = []
    while not over.is_set():
        found.append(rollup_bytes(pid))
        await asyncio.sleep(1.0)
    return found


def _health_address(home: Path) -> str:
    lines = (home / "service.log").read_text().splitlines()
    return str(json.loads([line for line in lines if '"answers health checks"' in line][-1])["address"])


def _quantiles(seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds) or [0.0]
    return {f"p{percent}_ms": 1e3 * percentile(ordered, percent) for percent in (50, 99, 100)}


def tables(found: dict[str, Any]) -> str:
    """What it shows, as Markdown."""
    alone = found["alone"]
    unloaded = table(
        ["one process on one core", "measured"],
        [
            ["a lone caller, p50 / p99", f"{alone['p50_ms']:.1f} / {alone['p99_ms']:.1f} ms"],
            [FREE, f"{found[FREE]:.0f} calls/s"],
            [LIMITED, f"{found[LIMITED]:.0f} calls/s, at most {found['max_delay_ms']:.0f} ms"],
        ],
    )
    columns = [_column(found, capacity) for capacity in (LIMITED, FREE)]
    overload = table(
        [f"{TIMES:g} x the capacity of", LIMITED, FREE],
        [[name, *(column[name] for column in columns)] for name in columns[0]],
    )
    return f"{unloaded}\n\n{overload}"


def _column(found: dict[str, Any], capacity: str) -> dict[str, str]:
    alone, over = found["alone"], found["overload"][capacity]
    answered, refused, health = over["answered"], over["refused"], over["health"]
    others = ", ".join(f"{n} {code}" for code, n in over["otherwise"].items())
    return {
        "offered": f"{over['offered']:.0f} calls/s, {over['offered'] / found[capacity]:.1f} x",
        "answered": f"{over['answered_per_second']:.0f} calls/s",
        "answered, p50 / p99": f"{answered['p50_ms']:.0f} / {answered['p99_ms']:.0f} ms",
        "of a lone caller's, p50 / p99": f"{answered['p50_ms'] / alone['p50_ms']:.1f} / "
        f"{answered['p99_ms'] / alone['p99_ms']:.1f} x",
        "refused, p50 / p99 / longest": f"{refused['p50_ms']:.1f} / {refused['p99_ms']:.1f} / "
        f"{refused['p100_ms']:.1f} ms",
        "with a pushback": f"{refused['with_pushback']:,} of {refused['calls']:,}",
        "otherwise": others or "none",
        "health, p99 / longest": f"{health['p99_ms']:.1f} / {health['p100_ms']:.1f} ms ({health['checks']} checks)",
        "of the core, taken by the machine's host": f"{over['stolen_share']:.1%}",
        "memory grown": f"{over['memory_grown_bytes'] / 2**20:.1f} MiB",
        "in the half second after it, a lone caller, p50": f"{over['alone_after']['p50_ms']:.1f} ms",
        "then, up to two seconds after it, 64 callers, and before it": f"{over['64_callers_after']:.0f}, "
        f"{over['64_callers_before']:.0f} calls/s",
    }
