"""The system calls of a process, in their order.

Killing a process proves nothing about a loss of power, because what it wrote to files survives it in memory. So the
calls themselves are watched.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Trace:
    """What a Python script called, and what it printed."""

    def __init__(self, calls: Sequence[str], output: str) -> None:
        self._calls = calls
        self.output = output

    def positions(self, pattern: str) -> list[int]:
        """Places of the calls that the pattern is found in."""
        return [place for place, call in enumerate(self._calls) if re.search(pattern, call)]

    def first(self, pattern: str, after: int = -1) -> int:
        """Place of the first of them behind a place."""
        found = [place for place in self.positions(pattern) if place > after]
        assert found, f"no call is like {pattern}"
        return found[0]

    def connection(self, place: int) -> str:
        """What a call reads from or writes to, with its number."""
        found = re.search(r"\((\d+<.*?>)[,)]", self._calls[place])
        assert found is not None, self._calls[place]
        return found[1]


def traced(script: str, *arguments: str, calls: str, log: Path, text: int = 32) -> Trace:
    """Runs the script; skips the test where no process may be traced.

    Args:
        calls: which ones, as strace wants them.
        text: how many bytes are kept of what is read and written.
    """
    command = ["strace", "-f", "-yy", "-s", str(text), "-e", f"trace={calls}", "-o", str(log)]
    run = subprocess.run(
        [*command, sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        timeout=90,
    )
    if run.returncode != 0 and "ptrace" in run.stderr:
        pytest.skip("this machine does not let a process be traced")
    assert run.returncode == 0, run.stderr
    return Trace(log.read_text(errors="replace").splitlines(), run.stdout)
