"""One service trained on all of MovieLens 100K, as the README does it, shared by the tests that only ask it."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mfserve import Client
from mfserve.types import JobInfo, ModelVersion, Progress
from tests.integration.oracle import Oracle, oracle
from tests.integration.service import RunningService, running_service
from tests.sharing import TOGETHER
from tests.waiting import eventually

TRAIN = "mfserve train movies movielens-100k --wait"
"""The first command line of the README, so that its run is one with the training that all others ask."""
TRAINING_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class MovieLens:
    """A service with one model, ``movies``, and how its training went."""

    service: RunningService
    version: ModelVersion
    progress: tuple[Progress, ...]
    job: JobInfo
    """The job as the last message about it told."""
    command: subprocess.CompletedProcess[str]
    """How ``TRAIN`` ended."""

    def oracle(self) -> Oracle:
        return oracle(self.service.home, self.version.digest)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sees to it that those who ask the service are in one of the test processes, so that it is trained once."""
    for item in items:
        if isinstance(item, pytest.Function) and "movielens" in item.fixturenames:
            file = item.nodeid.partition("::")[0]
            if TOGETHER.get(file) != "movielens":
                raise pytest.UsageError(f"{file} asks for movielens: name it in TOGETHER of tests/sharing.py")


@pytest.fixture(scope="session")
def movielens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MovieLens]:
    # A short lease: a test kills the trainer and waits for the lease to end.
    home = tmp_path_factory.mktemp("movielens") / "home"
    with (
        running_service(home, "--workers", "2", "--reflection", MFSERVE_LEASE_SECONDS="3") as service,
        Client(service.address) as client,
    ):
        with subprocess.Popen(
            shlex.split(TRAIN),
            env=environment(service),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as command:
            job = eventually(lambda: next(client.list_jobs(), None), "the training is queued")
            progress = tuple(job.watch(timeout=TRAINING_SECONDS))
            last = job.info
            told = command.communicate(timeout=TRAINING_SECONDS)
        version = job.result(timeout=TRAINING_SECONDS)
        finished = subprocess.CompletedProcess(TRAIN, command.returncode, *told)
        yield MovieLens(service, version, progress, last, finished)


def environment(service: RunningService) -> dict[str, str]:
    """That of a shell in which this installation's commands ask the service."""
    scripts = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"MFSERVE_ADDRESS": service.address, "PATH": scripts}


@pytest.fixture
def client(movielens: MovieLens) -> Iterator[Client]:
    with Client(movielens.service.address) as client:
        yield client
