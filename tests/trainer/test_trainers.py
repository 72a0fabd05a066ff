"""Trainers that stop, die or stand still in the middle of a fit."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import psutil

from mfserve_registry import JobState, Registry
from tests.trainer.samples import ENDLESS, QUICK, SECONDS_LONG
from tests.trainer.trainers import claimed, finished, fitting, running_trainer, submit, versions
from tests.waiting import eventually


def test_terminated_trainer_gives_its_job_back(registry: Registry, home: Path, csv: Path) -> None:
    with running_trainer(home, csv.parent) as trainer:
        job_id = submit(registry, csv, ENDLESS)
        before = fitting(registry, job_id)
        fit = trainer.fit_process()
        # As when a terminal or a service manager signals the whole group.
        fit.send_signal(signal.SIGINT)
        fit.send_signal(signal.SIGTERM)
        trainer.terminate()
    assert not fit.is_running()
    job = registry.jobs.get(job_id)
    assert (job.state, job.error_reason) == (JobState.PENDING, None)
    assert job.attempts_left == before.attempts_left + 1
    assert list((home / ".staging").iterdir()) == []


def test_job_of_a_killed_trainer_is_done_by_another(registry: Registry, home: Path, csv: Path) -> None:
    with running_trainer(home, csv.parent, lease_seconds=2) as first:
        job_id = submit(registry, csv, SECONDS_LONG)
        claimed(registry, job_id)
        with running_trainer(home, csv.parent, lease_seconds=2):
            fitting(registry, job_id)
            fit = first.fit_process()
            temporary = Path(fit.environ()["TMPDIR"])
            assert temporary.is_dir()
            first.process.kill()
            # It reads the end of its standard input.
            psutil.wait_procs([fit], timeout=10)
            assert not fit.is_running()
            assert not temporary.exists()
            job = finished(registry, job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    assert versions(registry, "movies") == [1]


def test_trainer_that_stood_still_past_its_lease_publishes_nothing(
    registry: Registry, home: Path, csv: Path
) -> None:
    with running_trainer(home, csv.parent, lease_seconds=1) as first:
        job_id = submit(registry, csv, SECONDS_LONG)
        claimed(registry, job_id)
        with running_trainer(home, csv.parent, lease_seconds=30) as second:
            fitting(registry, job_id)
            os.kill(first.process.pid, signal.SIGSTOP)
            eventually(lambda: registry.jobs.get(job_id).attempt == 2, "the other trainer has the job")
            # Both go on now, each with a fit of the same job.
            os.kill(first.process.pid, signal.SIGCONT)
            job = finished(registry, job_id)
            assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
            eventually(lambda: "lost the lease" in first.log.read_text(), "the first trainer has noticed")
            assert registry.models.get_version("movies", 1).attempt == 2
            # With the second one gone, the first one still does what comes.
            second.terminate()
        assert finished(registry, submit(registry, csv, model="next")).state is JobState.SUCCEEDED
        first.terminate()
    assert versions(registry, "movies") == [1]


def test_trainers_share_a_queue(registry: Registry, home: Path, csv: Path) -> None:
    jobs = [submit(registry, csv, QUICK.model_copy(update={"seed": seed})) for seed in range(6)]
    with running_trainer(home, csv.parent) as first, running_trainer(home, csv.parent) as second:
        done = [finished(registry, job_id) for job_id in jobs]
        first.terminate()
        second.terminate()
    assert {job.state for job in done} == {JobState.SUCCEEDED}
    assert {job.attempt for job in done} == {1}
    assert sorted(versions(registry, "movies")) == [1, 2, 3, 4, 5, 6]
