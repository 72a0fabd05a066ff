"""How often a caller may call, over all the processes that share a port."""

from __future__ import annotations

import hashlib
import mmap
import struct
import time
from pathlib import Path

from mfserve_registry.errors import Overloaded
from mfserve_server.mapped import mapped

BURST_SECONDS = 1.0
"""A caller who was silent so long may make the calls of that time at once."""

_TIME = struct.Struct("d")


class Rates:
    """The generic cell rate algorithm (ATM Forum, Traffic Management 4.0, 4.4.2, "virtual scheduling").

    Of each caller it keeps one number, when the next call would come if all were evenly spread. It lies in a file that
    the processes of a start map together, in the system's own clock. They take no lock: where two take a call at the
    very same moment, one of the two may not count. Without room for the file each process counts for itself.

    Args:
        folder: of this start.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cells: dict[str, mmap.mmap] = {}

    def take(self, caller: str, per_second: float) -> None:
        """Counts one call. Overloaded: RATE_LIMITED, with the time until the next may be made."""
        cell = self._cells.get(caller)
        if cell is None:
            cell = self._cells[caller] = self._open(caller)
        now = time.monotonic()
        due = max(_TIME.unpack_from(cell)[0], now)
        early = due - now - BURST_SECONDS
        if early > 0:
            error = Overloaded(
                f"The caller {caller} may make {per_second:g} calls a second.", reason="RATE_LIMITED"
            )
            error.retry_seconds = early
            raise error
        _TIME.pack_into(cell, 0, due + 1 / per_second)

    def close(self) -> None:
        for cell in self._cells.values():
            cell.close()

    def _open(self, caller: str) -> mmap.mmap:
        return mapped(self._folder / hashlib.sha256(caller.encode()).hexdigest(), _TIME.size)
