"""A service of a benchmark's own, as a user would start it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


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
def started(home: Path, *flags: str, prefix: tuple[str, ...] = ()) -> Iterator[Started]:
    """The same with its processes; ``prefix`` is a command that starts others, such as ``taskset -c 0``."""
    command = [
        *prefix,
        *(sys.executable, "-m", "mfserve", "serve", "--home", str(home), "--port", "0", "--json"),
        *flags,
    ]
    with (
        (home / "service.log").open("ab") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as server,
    ):
        try:
            ready = json.loads(server.stdout.readline() if server.stdout else b"")
            yield Started(ready["address"], ready["pid"], tuple(ready["workers"]))
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
