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


def test_trainers_share_a_queue_and_a_terminated_one_gives_its_job_back(
    registry: Registry, home: Path, csv: Path
) -> None:
    jobs = [submit(registry, csv, QUICK.model_copy(update={"seed": seed})) for seed in range(6)]
    with running_trainer(home, csv.parent) as first, running_trainer(home, csv.parent) as second:
        done = [finished(registry, job_id) for job_id in jobs]
        second.terminate()
        job_id = submit(registry, csv, ENDLESS, model="given-back")
        before = fitting(registry, job_id)
        fit = first.fit_process()
        # As when a terminal or a service manager signals the whole group.
        fit.send_signal(signal.SIGINT)
        fit.send_signal(signal.SIGTERM)
        first.terminate()
    assert {job.state for job in done} == {JobState.SUCCEEDED}
    assert {job.attempt for job in done} == {1}
    assert sorted(versions(registry, "movies")) == [1, 2, 3, 4, 5, 6]

    assert not fit.is_running()
    job = registry.jobs.get(job_id)
    assert (job.state, job.error_reason) == (JobState.PENDING, None)
    assert job.attempts_left == before.attempts_left + 1
    assert list((home / ".staging").iterdir()) == []


def test_job_of_a_trainer_that_stood_still_or_was_killed_is_done_by_another(
    registry: Registry, home: Path, csv: Path
) -> None:
    with running_trainer(home, csv.parent, lease_seconds=3) as first:
        job_id = submit(registry, csv, SECONDS_LONG)
        claimed(registry, job_id)
        with running_trainer(home, csv.parent, lease_seconds=3) as second:
            fitting(registry, job_id)
            os.kill(first.process.pid, signal.SIGSTOP)
            fitting(registry, job_id, attempt=2)
            # Both go on now, each with a fit of the same job.
            os.kill(first.process.pid, signal.SIGCONT)
            fit = second.fit_process()
            temporary = Path(fit.environ()["TMPDIR"])
            assert temporary.is_dir()
            eventually(lambda: "lost the lease" in first.log.read_text(), "the first trainer has noticed")
            second.process.kill()
            # It reads the end of its standard input.
            psutil.wait_procs([fit], timeout=10)
            assert not fit.is_running()
            assert not temporary.exists()
        # The first one still does what comes.
        job = finished(registry, job_id)
        first.terminate()
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 3)
    assert [
        registry.models.get_version("movies", number).attempt for number in versions(registry, "movies")
    ] == [3]
