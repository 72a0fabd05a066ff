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
class Started:
    """A service that answers.

    Attributes:
        address: of its port.
        parent: process id of the parent, which serves nothing.
        workers: process ids of those who serve.
    """

    address: str
    parent: int
    workers: tuple[int, ...]


@contextmanager
def running(home: Path, *flags: str) -> Iterator[str]:
    """Runs ``mfserve serve`` on a free port of the loopback interface and yields its address."""
    with started(home, *flags) as service:
        yield service.address


@contextmanager
def started(
    home: Path, *flags: str, core: int | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Started]:
    """The same with its processes, which are all on one core where one is given."""
    command = [sys.executable, "-m", "mfserve", "serve", "--home", str(home), "--port", "0", "--json", *flags]
    with (
        (home / "service.log").open("ab") as log,
        subprocess.Popen(
            command if core is None else on_core(core, *command),
            stdout=subprocess.PIPE,
            stderr=log,
            env={**os.environ, **(environment or {})},
        ) as server,
    ):
        try:
            line = server.stdout.readline() if server.stdout else b""
            if not line:
                raise SystemExit(f"mfserve serve did not start: see {home / 'service.log'}")
            ready = json.loads(line)
            yield Started(ready["address"], ready["pid"], tuple(ready["workers"]))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
