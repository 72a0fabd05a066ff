"""A whole service: ``mfserve serve`` as a user starts it, with its workers and its trainer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import psutil

STOP_SECONDS = 30.0
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that answers."""

    address: str
    home: Path
    process: subprocess.Popen[str]
    workers: tuple[int, ...]
    """Process ids of the server processes."""

    def trainers(self) -> list[psutil.Process]:
        """The trainer and the processes in which it fits."""
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [
            child
            for child in children
            if child.pid not in self.workers and "mfserve" in " ".join(_line(child))
        ]

    def trainer(self) -> psutil.Process:
        """The trainer itself, once it runs."""
        return eventually(
            lambda: next((child for child in self.trainers() if "trainer" in _line(child)), None),
            "the trainer runs",
        )


@contextmanager
def running_service(home: Path, *flags: str, **environment: str) -> Iterator[RunningService]:
    """Starts ``mfserve serve`` on a free port and stops it by SIGTERM, which has to end it with exit code 0."""
    home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "mfserve", "serve", "--home", str(home), "--port", "0", "--json", *flags]
    log = (home / "service.log").open("a")
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=log, text=True, env={**os.environ, **environment}
    )
    log.close()
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert line, (home / "service.log").read_text()
        ready = json.loads(line)
        yield RunningService(ready["address"], home, process, tuple(ready["workers"]))
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_SECONDS) == 0, (home / "service.log").read_text()[-4000:]
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()


def eventually(look: Callable[[], Found | None], what: str, seconds: float = 60.0) -> Found:
    """What ``look`` finds, asked again until it finds something; fails after so many seconds.

    For things that only another process knows and announces to nobody.
    """
    deadline = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain until {what}"
        time.sleep(0.02)


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
