"""A service of a benchmark's own, as a user would start it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.cores import on_core


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a server listens, and the process that answers there."""

    address: str
    pid: int


@contextmanager
def running(home: Path, *flags: str) -> Iterator[str]:
    """Runs ``mfserve serve`` on a free port of the loopback interface and yields its address."""
    with serving(home, *flags) as started:
        yield started.address


@contextmanager
def serving(
    home: Path, *flags: str, core: int | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Serving]:
    """The same, all its processes on one core where one is given; yields the process of the first worker."""
    command = [sys.executable, "-m", "mfserve", "serve", "--home", str(home), "--port", "0", "--json", *flags]
    with (home / "service.log").open("ab") as log:
        server = subprocess.Popen(
            command if core is None else on_core(core, *command),
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **(environment or {})},
        )
    try:
        line = server.stdout.readline() if server.stdout else b""
        if not line:
            raise SystemExit(f"mfserve serve did not start: see {home / 'service.log'}")
        told = json.loads(line)
        yield Serving(told["address"], told["workers"][0])
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
        if server.stdout:
            server.stdout.close()
