"""What callers notice while one worker, on one core, swaps one large snapshot for another."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.load.snapshots import SMALL, Size, publish
from benchmarks.load.traffic import Traffic, latencies
from benchmarks.service import started
from mfserve_registry import Registry

LARGE_MODEL, SMALL_MODEL = "large", "small"
_PATIENCE = 60.0
"""Most seconds that a swap may take."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure.

    Attributes:
        size: of both snapshots.
        swaps: how many, forth and back; the median is told.
        warm: seconds before anything counts.
        quiet: seconds before each swap whose p99 the swap's is compared with.
        around: seconds of the window around the swap, half of them on each side of it.
        rates: calls a second to the large model, whose product is what keeps the core busy, and to the small one.
    """

    size: Size
    swaps: int = 3
    warm: float = 3.0
    quiet: float = 15.0
    around: float = 10.0
    rates: tuple[float, float] = (30.0, 100.0)


def measure(folder: Path, plan: Plan) -> dict[str, Any]:
    """Swaps under load: the worker on the first core, callers on the second where there is one."""
    home = folder / "swap"
    with Registry.open(home) as registry:
        for seed in (1, 2):
            publish(registry, LARGE_MODEL, plan.size, seed=seed, promote=seed == 1)
        publish(registry, SMALL_MODEL, SMALL, seed=1)
        cores = sorted(os.sched_getaffinity(0))
        with started(home, "--no-trainer", core=cores[0]) as service:
            os.sched_setaffinity(0, {cores[-1]})
            try:
                return asyncio.run(_swaps(registry, service.address, plan))
            finally:
                os.sched_setaffinity(0, cores)


async def _swaps(registry: Registry, address: str, plan: Plan) -> dict[str, Any]:
    large, small = (
        Traffic(address, model, size.users, rate)
        for model, size, rate in zip((LARGE_MODEL, SMALL_MODEL), (plan.size, SMALL), plan.rates, strict=True)
    )
    over = asyncio.Event()
    running = [asyncio.create_task(traffic.run(over)) for traffic in (large, small)]
    await asyncio.sleep(plan.warm)
    swaps = []
    for number in range(plan.swaps):
        began = time.monotonic()
        await asyncio.sleep(plan.quiet)
        moved = time.monotonic()
        await _move(registry, 2 - number % 2)
        async with asyncio.timeout(_PATIENCE):
            while large.answered[-1].version != 2 - number % 2:  # noqa: ASYNC110 - another process's doing
                await asyncio.sleep(0.01)
        swapped = time.monotonic()
        await asyncio.sleep(plan.around / 2)
        swaps.append((began, moved, swapped))
    over.set()
    await asyncio.gather(*running)
    return {
        "rates": plan.rates,
        "around_seconds": plan.around,
        "swap_seconds": statistics.median(swapped - moved for _, moved, swapped in swaps),
        "models": {
            traffic.model: [_around(traffic, plan, *times) for times in swaps] for traffic in (large, small)
        },
        "failed": sum(one.version is None for traffic in (large, small) for one in traffic.answered),
    }


def _around(traffic: Traffic, plan: Plan, began: float, moved: float, swapped: float) -> dict[str, Any]:
    """Before the swap; in the window around it; and in that part of it alone in which the version was loaded."""
    half = plan.around / 2
    before = latencies(traffic.between(began, moved))
    around = latencies(traffic.between(swapped - half, swapped + half))
    return {
        "before": before,
        "around": around,
        "loading": latencies(traffic.between(moved, swapped)),
        "ratio": around["p99_ms"] / before["p99_ms"],
    }


async def _move(registry: Registry, version: int) -> None:
    revision = registry.aliases.get(LARGE_MODEL, "production").revision
    registry.aliases.set(LARGE_MODEL, "production", version, expected_revision=revision)
