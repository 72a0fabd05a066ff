"""A whole service: ``mfserve serve`` as a user starts it, with its workers and its trainer."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.waiting import eventually

STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that answers."""

    address: str
    home: Path
    process: subprocess.Popen[str]
    workers: tuple[int, ...]
    """Process ids of the server processes."""

    def listens(self, event: str) -> str:
        """The address that the parent has logged with an event."""
        lines = (self.home / "service.log").read_text().splitlines()
        return str(next(json.loads(line)["address"] for line in lines if f'"{event}"' in line))

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


def _line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
