"""How many threads a process may use, set before numpy is imported, because BLAS reads it then; and which go first."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping

_NICENESS = 10
"""A tenth of the time of a core for which a thread of ordinary priority competes."""
_BLAS_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def cores() -> int:
    """Cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def blas_environment(workers: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Variables that keep ``workers`` processes times their BLAS threads within the cores.

    What ``environment`` sets already stays: whoever set it knows better.
    """
    threads = str(max(1, cores() // workers))
    return {name: threads for name in _BLAS_VARIABLES if name not in environment}


def lower_priority() -> None:
    """Lets the calling thread have what the other threads and processes leave of the cores.

    On Linux alone: elsewhere the niceness is that of the whole process.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS)
