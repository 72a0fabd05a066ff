"""How much memory workers need on one large snapshot, and how long it takes until the first answer."""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.load.snapshots import Size, publish
from benchmarks.service import Started, started
from mfserve import Client
from mfserve_registry import Registry

MODEL = "large"
_CONNECTIONS, _CALLS = 10, 20


def measure(folder: Path, size: Size, workers: int, runs: int) -> dict[str, Any]:
    """Starts so many workers on a snapshot of this size, ``runs`` times warm and once cold, and weighs them."""
    home, empty = folder / "memory", folder / "base"
    snapshot = _publish(home, size)
    _publish(empty, Size(10, 40, factors=2))
    warm = [_start(home, workers) for _ in range(runs)]
    _forget_pages(home / "snapshots")
    cold_seconds, _ = _start(home, workers)
    _, base = _start(empty, workers)
    pss = warm[-1][1]
    return {
        "users": size.users,
        "items": size.items,
        "factors": size.factors,
        "workers": workers,
        "snapshot_bytes": snapshot,
        "pss_bytes": pss["workers"],
        "pss_limit_bytes": round(1.3 * snapshot + workers * 120e6),
        "anonymous_bytes": pss["anonymous"],
        "parent_pss_bytes": pss["parent"],
        "base_pss_bytes": base["workers"],
        "start_seconds": statistics.median(seconds for seconds, _ in warm),
        "start_worst_seconds": max(seconds for seconds, _ in warm),
        "start_cold_seconds": cold_seconds,
    }


def rollup_bytes(pid: int, field: str = "Pss") -> int:
    """A field of a process's smaps_rollup (proc(5)).

    "Pss" is the proportional set size: a page that n processes have mapped counts 1/n in each.
    """
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    fields = dict(line.split(":", 1) for line in lines)
    return int(fields[field].split()[0]) * 1024


def _publish(home: Path, size: Size) -> int:
    with Registry.open(home) as registry:
        version = publish(registry, MODEL, size, seed=1)
        folder = registry.snapshots.path(version.digest)
    return sum(file.stat().st_size for file in folder.iterdir())


def _start(home: Path, workers: int) -> tuple[float, dict[str, Any]]:
    """Seconds from the start of the parent to an answer after all workers are ready, and what they weigh."""
    began = time.perf_counter()
    with started(home, "--no-trainer", "--workers", str(workers)) as service:
        with Client(service.address) as client:
            client.recommend(MODEL, "u1")
            seconds = time.perf_counter() - began
        _ask(service)
        return seconds, {
            "workers": [rollup_bytes(pid) for pid in service.workers],
            "anonymous": [rollup_bytes(pid, "Pss_Anon") for pid in service.workers],
            "parent": rollup_bytes(service.parent),
        }


def _ask(service: Started) -> None:
    for number in range(_CONNECTIONS):
        with Client(service.address) as client:  # each its own connection, so that every worker gets some
            for call in range(_CALLS):
                client.recommend(MODEL, f"u{number * _CALLS + call}")


def _forget_pages(folder: Path) -> None:
    """Drops the folder's files from the system's page cache, as after a start of the machine."""
    for file in folder.rglob("*.npy"):
        with file.open("rb") as opened:
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
