"""A server process over synthetic versions, without a trainer, and the command line run against it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from mfserve import Client
from mfserve.cli import main
from mfserve_registry import Registry
from tests.integration.service import RunningService, running_service
from tests.server.samples import PICTURE, publish


@dataclass(frozen=True, slots=True)
class Finished:
    """How a command line ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Finished]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("cli") / "home"
    with Registry.open(home) as registry:
        publish(registry, "movies", seed=1, artifacts=[PICTURE])
        publish(registry, "movies", seed=2)
    with running_service(home, "--no-trainer", MFSERVE_POLL_SECONDS="0.05") as service:
        yield service


@pytest.fixture
def registry(service: RunningService) -> Iterator[Registry]:
    with Registry.open(service.home) as registry:
        yield registry


@pytest.fixture
def client(service: RunningService) -> Iterator[Client]:
    with Client(service.address) as client:
        yield client


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mfserve", *arguments]


def environment(address: str, **more: str) -> dict[str, str]:
    return {**os.environ, "MFSERVE_ADDRESS": address, "COLUMNS": "80", **more}


@pytest.fixture
def run(service: RunningService, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs one command line in this process, which is faster than in one of its own."""

    def run(*arguments: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["mfserve", *arguments])
        monkeypatch.setenv("MFSERVE_ADDRESS", service.address)
        monkeypatch.setenv("COLUMNS", "80")
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return Finished(ended.value.code, captured.out, captured.err)

    return run


@pytest.fixture
def process(service: RunningService) -> Run:
    """Runs one command line as a process of its own; keyword arguments go to its environment."""

    def run(*arguments: str, **more: str) -> Finished:
        finished = subprocess.run(
            command(*arguments),
            env=environment(service.address, **more),
            capture_output=True,
            encoding=more.get("PYTHONIOENCODING", "utf-8").partition(":")[0],
            timeout=60,
            check=False,
        )
        return Finished(finished.returncode, finished.stdout, finished.stderr)

    return run


@pytest.fixture
def start(service: RunningService) -> Iterator[Start]:
    """Starts a command line that Ctrl-C reaches, and ends it where the test has not."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        # A job in a shell's background is born with SIGINT ignored, and so are its children. What has a handler here
        # has the default in a child.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            started.append(
                subprocess.Popen(
                    command(*arguments),
                    env=environment(service.address),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        finally:
            signal.signal(signal.SIGINT, before)
        return started[-1]

    yield start
    for one in started:
        if one.poll() is None:
            one.kill()
        one.communicate()
