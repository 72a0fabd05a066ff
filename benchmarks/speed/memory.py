"""How much memory a process has needed."""

from __future__ import annotations

import resource
from pathlib import Path

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak_bytes() -> int:
    """The largest resident size that this process has had, on Linux since ``restart_peak``."""
    if _STATUS.exists():
        # Not ru_maxrss: that is never below the size of the process which started this one.
        fields = dict(line.split(":", 1) for line in _STATUS.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def restart_peak() -> None:
    """Lets ``peak_bytes`` count from what is resident now. On Linux only; elsewhere it goes on as before."""
    if _CLEAR.exists():
        _CLEAR.write_text("5")  # proc(5): resets the peak resident set size
