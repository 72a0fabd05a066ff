"""Who runs where: the server that is measured on one core, all that loads it on another."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

SERVER_CORE = min(os.sched_getaffinity(0))
LOAD_CORE = max(os.sched_getaffinity(0))

ONE_THREAD = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def on_core(core: int, *command: str) -> list[str]:
    """The command, held to one core from its first instruction on: numpy and mfserve count the cores they may use."""
    return ["taskset", "--cpu-list", str(core), *command]


def stay_on_load_core() -> None:
    """Holds this process to the core of the load. Call it before any library has started a thread."""
    os.sched_setaffinity(0, {LOAD_CORE})


class Spent:
    """Time that passed, and CPU time that the server and the load (this process, its finished children) took."""

    wall: float = 0.0
    server: float = 0.0
    load: float = 0.0


@contextmanager
def spending(pid: int) -> Iterator[Spent]:
    """Counts while the block runs; the counts are there after it."""
    spent = Spent()
    server, load, began = _cpu(pid), _ours(), time.perf_counter()
    yield spent
    spent.wall = time.perf_counter() - began
    spent.server, spent.load = _cpu(pid) - server, _ours() - load


def stolen() -> float:
    """Seconds since the machine started in which its host let others have the server's core."""
    return float(psutil.cpu_times(percpu=True)[SERVER_CORE].steal)


def _cpu(pid: int) -> float:
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _ours() -> float:
    usages = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
