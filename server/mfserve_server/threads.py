"""How many threads a process may use and how it keeps memory, set before it starts; and which threads go first."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping

_NICENESS = 10
"""A tenth of the time of a core for which a thread of ordinary priority competes."""
_BLAS_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
_MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": str(2 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(8 << 20),
    "MALLOC_TOP_PAD_": str(1 << 20),
}
"""glibc's malloc gives arrays of a few hundred KB back to the system as soon as they are free: to fetch their pages
again for each batch of users takes as long as to score it. See mallopt(3)."""


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_environment(workers: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables for each of ``workers`` processes, which BLAS and malloc read when they begin.

    The processes times their BLAS threads stay within the cores. What ``environment`` sets already stays: whoever set
    it knows better.
    """
    threads = str(max(1, cores() // workers))
    ours = dict.fromkeys(_BLAS_VARIABLES, threads) | _MALLOC
    return {name: value for name, value in ours.items() if name not in environment}


def lower_priority() -> None:
    """Lets the calling thread have what the other threads and processes leave of the cores.

    On Linux alone: elsewhere the niceness is that of the whole process.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)
