"""A server process over synthetic versions, without a trainer, and the command line run against it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from mfserve import Client
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


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    home = tmp_path_factory.mktemp("cli") / "home"
    with Registry.open(home) as registry:
        publish(registry, "movies", seed=1, artifacts=[PICTURE])
        publish(registry, "movies", seed=2)
    with running_service(home, "--no-trainer") as service:
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
def run(service: RunningService) -> Run:
    """Runs one command line as a process of its own; keyword arguments go to its environment."""

    def run(*arguments: str, **more: str) -> Finished:
        finished = subprocess.run(
            command(*arguments),
            env=environment(service.address, **more),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Finished(finished.returncode, finished.stdout, finished.stderr)

    return run
