"""Trainings that take more than a trainer has for one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import typer
from typer.testing import CliRunner

from mfserve_registry import Job, JobState, Registry
from mfserve_registry.contact import Contact
from mfserve_trainer.attempt import Attempt
from mfserve_trainer.cli import trainer
from mfserve_trainer.fitter import Fitter
from mfserve_trainer.memory import taken_by
from mfserve_trainer.settings import Settings
from mfserve_trainer.worker import Worker
from tests.trainer.samples import ENDLESS, QUICK
from tests.trainer.trainers import assert_tells_no_place, submit
from tests.waiting import until

ENOUGH = 2**40


async def attempted(registry: Registry, csv: Path, settings: Settings) -> Job:
    """A training that would not end soon, after a worker's one attempt at it."""
    job_id = submit(registry, csv, ENDLESS)
    claim = registry.jobs.claim("trainer", timedelta(minutes=5))
    assert claim is not None
    fitter = Fitter(settings)
    await fitter.start()
    process = psutil.Process(fitter.pid)
    await Attempt(claim, settings, registry, fitter, Contact()).run(asyncio.Event())
    assert not process.is_running()
    return registry.jobs.get(job_id)


@pytest.mark.parametrize(
    ("limits", "reason", "told"),
    [
        ({"max_fit_bytes": 2**28, "max_fit_seconds": 3600}, "FIT_TOO_LARGE", "than the 268435456 bytes"),
        ({"max_fit_bytes": ENOUGH, "max_fit_seconds": 0.5}, "FIT_TOO_LONG", "than the 0.5 seconds"),
        ({"max_fit_seconds": 0.5}, "FIT_TOO_LONG", "than the 0.5 seconds"),
    ],
)
async def test_a_training_that_passes_a_limit_fails_for_good(
    registry: Registry, home: Path, csv: Path, limits: dict[str, Any], reason: str, told: str
) -> None:
    job = await attempted(registry, csv, Settings(home=home, data_roots=(csv.parent,), **limits))
    assert (job.state, job.error_reason, job.attempt) == (JobState.FAILED, reason, 1)
    assert job.error_message is not None
    assert told in job.error_message
    assert ("max_fit_bytes" if reason == "FIT_TOO_LARGE" else "max_fit_seconds") in job.error_message
    assert_tells_no_place(job)
    assert list((home / ".staging").iterdir()) == []


async def test_what_one_training_took_does_not_count_as_the_next_ones(
    registry: Registry, home: Path, csv: Path
) -> None:
    missing = csv.with_name("missing.csv")  # which leaves its process as it is
    settings = Settings(home=home, data_roots=(csv.parent,), max_fit_bytes=ENOUGH, job_poll_seconds=0.05)
    worker = Worker(settings, registry)
    others = set(psutil.Process().children())  # of fixtures, such as a database

    def started() -> set[psutil.Process]:
        return set(psutil.Process().children()) - others

    working = asyncio.create_task(worker.run())
    await until(lambda: len(started()) == 1)
    (process,) = started()
    job_id = submit(registry, missing, QUICK)
    await until(lambda: registry.jobs.get(job_id).state is JobState.FAILED)
    await until(lambda: not process.is_running())
    assert not working.done()
    worker.stop()
    await working


def test_a_limit_that_cannot_be_kept_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfserve_trainer.cli.can_be_read", lambda: False)  # as on macOS
    app = typer.Typer()
    app.command()(trainer)
    done = CliRunner().invoke(app, ["--home", str(home), "--max-fit-bytes", str(ENOUGH)])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("mfserve trainer: max_fit_bytes cannot be kept here")


def test_memory_is_what_a_process_has_to_itself() -> None:
    own = psutil.Process()
    before = taken_by(own.pid)
    held = bytearray(64 * 2**20)
    held[::4096] = b"x" * len(held[::4096])
    assert 60 * 2**20 < taken_by(own.pid) - before < 70 * 2**20
    assert taken_by(own.pid) < own.memory_info().rss + own.memory_full_info().swap
    del held
    assert taken_by(2**22 + 1) == 0  # beyond the largest id
