"""How much memory a process has needed."""

from __future__ import annotations

import resource
from pathlib import Path


def peak_bytes() -> int:
    """The largest resident size that this process has had, since it began or since ``restart_peak``."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def restart_peak() -> None:
    """Lets ``peak_bytes`` count from what is resident now. On Linux only; elsewhere it goes on as before."""
    clear = Path("/proc/self/clear_refs")
    if clear.exists():
        clear.write_text("5")  # proc(5): resets the peak resident set size
