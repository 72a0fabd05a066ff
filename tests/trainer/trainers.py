"""Real trainer processes on a registry, and how tests wait for what they do."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psutil

from mfserve_registry import Job, JobRequest, JobState, Registry
from mfserve_registry.spec import DatasetSpec, FileDataset, TrainingSpec
from mfserve_trainer.progress import Stage
from tests.trainer.samples import QUICK, dataset
from tests.waiting import eventually

SECONDS = 90.0
_numbers = count(1)


@dataclass(frozen=True, slots=True)
class Trainer:
    """A running ``mfserve trainer``."""

    process: subprocess.Popen[bytes]
    log: Path

    def fit_process(self) -> psutil.Process:
        """The process in which it fits, once there is one."""

        def look() -> psutil.Process | None:
            children = psutil.Process(self.process.pid).children()
            return children[0] if children else None

        return eventually(look, "the trainer has a fit process")

    def terminate(self) -> None:
        """Asks it to end, which it has to do cleanly."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(SECONDS) == 0, self.log.read_text()[-4000:]


@contextmanager
def running_trainer(
    home: Path, data: Path, *, lease_seconds: float = 30.0, under: Sequence[str] = ()
) -> Iterator[Trainer]:
    """Starts a trainer that may read files under ``data``; it is killed at the end if it still runs.

    Args:
        under: a command that runs it.
    """
    log = home / f"trainer-{next(_numbers)}.log"
    command = [*under, sys.executable, "-m", "mfserve", "trainer", "--home", str(home)]
    command += ["--data-roots", str(data)]
    command += ["--lease-seconds", str(lease_seconds), "--log-format", "json"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            command, stdout=stream, stderr=stream, env={**os.environ, "MFSERVE_JOB_POLL_SECONDS": "0.1"}
        )
    try:
        yield Trainer(process, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def submit(
    registry: Registry,
    csv: Path,
    spec: TrainingSpec = QUICK,
    *,
    model: str = "movies",
    source: DatasetSpec | None = None,
    max_attempts: int = 3,
) -> str:
    """Queues a training; the job's id."""
    request = request_of(csv, spec, model=model, source=source)
    return registry.jobs.submit(request, max_attempts=max_attempts)[0].job_id


def request_of(
    csv: Path,
    spec: TrainingSpec = QUICK,
    *,
    model: str = "movies",
    source: DatasetSpec | None = None,
) -> JobRequest:
    """A request for a training, with an id of its own."""
    return JobRequest(
        model=model,
        dataset=source or dataset(csv),
        spec=spec,
        promote_to_alias=None,
        request_id=f"request-{next(_numbers)}",
    )


def finished(registry: Registry, job_id: str) -> Job:
    """The job, once it has come to an end."""

    def look() -> Job | None:
        job = registry.jobs.get(job_id)
        return job if job.state.finished else None

    job = eventually(look, "the job is finished")
    assert_tells_no_place(job)
    return job


def assert_tells_no_place(job: Job) -> None:
    """What a job failed of names nothing of the trainer's machine or network but what its caller has named."""
    source = job.request.dataset.source
    given = [source.path] if isinstance(source, FileDataset) else []
    told = job.error_message or ""
    for name in given:
        told = told.replace(name, "")
    places = re.findall(
        rf"(?<![\w.])/\w|\w+://|localhost|127\.0\.0\.1|{re.escape(socket.gethostname())}", told
    )
    assert not places, job.error_message


def claimed(registry: Registry, job_id: str) -> None:
    """Returns once a trainer has the job."""
    eventually(lambda: registry.jobs.get(job_id).state is JobState.RUNNING, "a trainer has the job")


def fitting(registry: Registry, job_id: str) -> Job:
    """The job, once it is in mid-fit."""

    def look() -> bool:
        steps = registry.jobs.progress(job_id)
        return any(step.stage == Stage.RATING_FIT and step.epoch >= 1 for step in steps)

    eventually(look, "an epoch has passed")
    job = registry.jobs.get(job_id)
    assert job.state is JobState.RUNNING
    return job


def versions(registry: Registry, model: str) -> list[int]:
    """Numbers of the model's versions."""
    if model not in {found.model for found in registry.models.list().items}:
        return []
    return [version.version for version in registry.models.list_versions(model).items]
