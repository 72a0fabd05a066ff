"""Recommend on a large catalogue, one process on one core: what calls that wait together gain by sharing a product."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from statistics import median

import grpc.aio
import numpy as np

from benchmarks.load import contestants
from benchmarks.load.contestants import Services
from benchmarks.load.cores import spending
from benchmarks.load.oracle import Arrays
from benchmarks.load.serving import Serving
from benchmarks.load.stats import Figures, Rows, interleaved, ratio, table, with_spread
from mfserve.cli._latencies import percentile
from mfserve.cli._load import Load, put
from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub

MODEL = "catalogue"
_PATIENT = contestants.NO_KEPT_REPLIES | {"MFSERVE_MAX_DELAY_SECONDS": "3600"}
SETTINGS = {"shared": _PATIENT, "each by itself": _PATIENT | {"MFSERVE_MAX_SHARED_CALLS": "1"}}
"""What is set in the environment of each server. No reply is kept, every call is scored, and none is refused."""
CALLERS = (1, 64)
CHECKED = 10


def measure(services: Services, home: Path, *, runs: int, seconds: float) -> Rows:
    """Rows ``"64 callers, shared"`` and so on. One server at a time is loaded."""
    arrays = Arrays.published(home, MODEL)
    field = {
        f"{callers} caller{'s' * (callers > 1)}, {name}": _runner(
            services.of(home, settings), arrays, callers, seconds
        )
        for callers in CALLERS
        for name, settings in SETTINGS.items()
    }
    return interleaved(runs, field)


def _runner(server: Serving, arrays: Arrays, callers: int, seconds: float) -> Callable[[int], Figures]:
    return lambda number: asyncio.run(_run(server, arrays, callers, seconds, number))


async def _run(server: Serving, arrays: Arrays, callers: int, seconds: float, number: int) -> Figures:
    random = np.random.default_rng(number)
    answers: dict[str, pb.RecommendResponse] = {}
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = RecommendationServiceStub(channel)

        async def call() -> None:
            user = str(random.choice(arrays.user_ids))
            request = pb.RecommendRequest(
                model_spec=common_pb2.ModelSpec(model=MODEL), user_id=user, limit=10
            )
            answers[user] = await stub.Recommend(request, timeout=60)

        await put(Load(), call, callers=callers, seconds=seconds / 4)
        load = Load()
        with spending(server.pid) as spent:
            await put(load, call, callers=callers, seconds=seconds)
    for user in list(answers)[:CHECKED]:
        arrays.check(user, [item.item_id for item in answers[user].recommendations])
    ordered = sorted(load.latencies)
    return {
        "rate": load.calls_per_second,
        "median_ms": 1e3 * percentile(ordered, 50),
        "p99_ms": 1e3 * percentile(ordered, 99),
        "median_of_ideal": percentile(ordered, 50) * load.calls_per_second / callers,
        "cpu_us": 1e6 * spent.server / len(ordered),
        "server_core": spent.server / spent.wall,
    }


def tables(rows: Rows) -> str:
    """The comparison as Markdown, and what sharing gains."""

    def gain(name: str, figure: str) -> str:
        other = name.replace("shared", "each by itself")
        found = ratio(rows, name, other, figure) if other != name else None
        return "" if found is None else f"{found:.2f}"

    columns = [
        "one process on one core",
        "calls/s",
        "times by itself",
        "median ms",
        "times by itself",
        "p99 ms",
    ]
    return table(
        [*columns, "median × calls/s ÷ callers", "CPU µs/call"],
        [
            [
                name,
                with_spread(figures["rate"]),
                gain(name, "rate"),
                f"{median(figures['median_ms']):.1f}",
                gain(name, "median_ms"),
                f"{median(figures['p99_ms']):.1f}",
                f"{median(figures['median_of_ideal']):.2f}",
                f"{median(figures['cpu_us']):,.0f}",
            ]
            for name, figures in rows.items()
        ],
    )
