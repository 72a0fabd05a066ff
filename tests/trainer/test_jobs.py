"""One trainer and the jobs that it is given, one after another."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from mfserve_registry import JobState, Registry
from mfserve_registry.snapshot import Snapshot
from mfserve_registry.spec import DatasetSpec, FileDataset, UploadedDataset
from mfserve_trainer.progress import Stage
from tests.trainer.samples import ENDLESS, QUICK, SECONDS_LONG
from tests.trainer.trainers import (
    Trainer,
    finished,
    fitting,
    running_trainer,
    submit,
    versions,
)
from tests.waiting import eventually


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared") / "home"


@pytest.fixture(scope="module")
def registry(shared_home: Path) -> Iterator[Registry]:
    with Registry.open(shared_home) as opened:
        yield opened


@pytest.fixture(scope="module")
def trainer(registry: Registry, shared_home: Path, csv: Path) -> Iterator[Trainer]:
    with running_trainer(shared_home, csv.parent) as running:
        yield running
        running.terminate()


@pytest.fixture(autouse=True)
def nothing_left_behind(trainer: Trainer, shared_home: Path) -> Iterator[None]:
    """However a job ends, the folders that it wrote to are published or gone."""
    yield
    staging = shared_home / ".staging"
    eventually(lambda: not list(staging.iterdir()), "no folder is left")


def test_a_job_becomes_a_version_and_tells_every_epoch(
    registry: Registry, shared_home: Path, trainer: Trainer, csv: Path
) -> None:
    job = finished(registry, submit(registry, csv, model="first"))
    assert (job.state, job.version, job.attempt) == (JobState.SUCCEEDED, 1, 1)
    version = registry.models.get_version("first", 1)
    assert version.aliases == ("production",)
    assert version.metrics["ranking_users"] > 0
    assert version.facts["spec"] == QUICK.model_dump(mode="json")
    assert {artifact.name for artifact in version.artifacts} >= {"rating-training-curve.csv", "report.html"}
    snapshot = Snapshot.open(registry.snapshots.path(version.digest), version.digest)
    assert snapshot.manifest.facts["metrics"] == version.metrics

    steps = registry.jobs.progress(job.job_id)
    assert [step.sequence for step in steps] == list(range(1, len(steps) + 1))
    assert [(step.stage, step.epoch) for step in steps] == [
        (Stage.LOADING, 0),
        *((Stage.RATING_FIT, epoch) for epoch in range(7)),
        *((Stage.RANKING_FIT, epoch) for epoch in range(5)),
        (Stage.EVALUATION, 0),
        *((Stage.RATING_REFIT, epoch) for epoch in range(7)),
        *((Stage.RANKING_REFIT, epoch) for epoch in range(5)),
        (Stage.REPORT, 0),
        (Stage.PUBLISHING, 0),
    ]
    assert list((shared_home / "logs" / job.job_id / "attempt-1").rglob("events.out.tfevents.*"))


def test_the_same_job_again_gives_the_same_digest_in_the_same_process(
    registry: Registry, trainer: Trainer, csv: Path
) -> None:
    fits_in = trainer.fit_process().pid
    for _ in range(2):
        assert finished(registry, submit(registry, csv, model="twins")).state is JobState.SUCCEEDED
    first, second = (registry.models.get_version("twins", number).digest for number in (1, 2))
    assert first == second
    assert trainer.fit_process().pid == fits_in


def test_an_upload_is_trained_on(registry: Registry, trainer: Trainer, csv: Path) -> None:
    rows = [line.split(",") for line in csv.read_text().splitlines()[1:]]
    with registry.uploads.create("upload-1") as upload:
        upload.append([row[0] for row in rows], [row[1] for row in rows], [float(row[2]) for row in rows])
        stored = upload.commit()
    source = DatasetSpec(source=UploadedDataset(upload_id=stored.upload_id))
    job = finished(registry, submit(registry, csv, model="uploaded", source=source))
    assert job.state is JobState.SUCCEEDED, job.error_message
    assert registry.models.get_version("uploaded", 1).facts["dataset"]["ratings"] == len(rows)


def test_a_bad_row_fails_the_job_with_its_place(registry: Registry, trainer: Trainer, csv: Path) -> None:
    bad = csv.with_name("bad.csv")
    bad.write_text("user_id,item_id,rating,title\nu1,i1,4,T\nu2,i2,four,T\n")
    job = finished(registry, submit(registry, bad, model="bad"))
    assert (job.state, job.error_reason, job.attempt) == (JobState.FAILED, "DATASET_INVALID", 1)
    assert job.error_message is not None
    assert "bad.csv" in job.error_message
    assert "line 3" in job.error_message


@pytest.mark.parametrize(
    ("path", "reason"), [("/etc/passwd", "PATH_NOT_ALLOWED"), ("missing.csv", "FILE_NOT_FOUND")]
)
def test_a_file_that_may_not_or_cannot_be_read_fails_the_job(
    registry: Registry, trainer: Trainer, csv: Path, path: str, reason: str
) -> None:
    source = DatasetSpec(source=FileDataset(path=path))
    job = finished(registry, submit(registry, csv, model="bad", source=source))
    assert (job.state, job.error_reason) == (JobState.FAILED, reason)
    assert versions(registry, "bad") == []


def test_a_running_job_is_cancelled_and_the_next_one_succeeds(
    registry: Registry, trainer: Trainer, csv: Path
) -> None:
    job_id = submit(registry, csv, ENDLESS, model="cancelled")
    following = submit(registry, csv, model="following")
    fitting(registry, job_id)
    fit = trainer.fit_process()
    registry.jobs.cancel(job_id)
    assert finished(registry, job_id).state is JobState.CANCELLED
    assert not fit.is_running()
    assert versions(registry, "cancelled") == []
    assert finished(registry, following).state is JobState.SUCCEEDED


def test_a_fit_that_is_killed_is_tried_again(registry: Registry, trainer: Trainer, csv: Path) -> None:
    job_id = submit(registry, csv, SECONDS_LONG, model="killed")
    fitting(registry, job_id)
    trainer.fit_process().send_signal(signal.SIGKILL)
    job = finished(registry, job_id)
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2)
    assert versions(registry, "killed") == [1]
    steps = registry.jobs.progress(job_id)
    assert [step.sequence for step in steps] == list(range(1, len(steps) + 1))
    assert [step.attempt for step in steps] == sorted(step.attempt for step in steps)


def _in_mid_fit(registry: Registry, job_id: str, attempt: int) -> bool:
    return any(
        step.attempt == attempt and step.stage == Stage.RATING_FIT and step.epoch
        for step in registry.jobs.progress(job_id)
    )


def test_a_fit_that_is_killed_every_time_fails_the_job(
    registry: Registry, trainer: Trainer, csv: Path
) -> None:
    job_id = submit(registry, csv, ENDLESS, model="doomed", max_attempts=2)
    for attempt in (1, 2):
        eventually(partial(_in_mid_fit, registry, job_id, attempt), f"attempt {attempt} is in mid-fit")
        trainer.fit_process().send_signal(signal.SIGKILL)
    job = finished(registry, job_id)
    assert (job.state, job.error_reason, job.attempt) == (JobState.FAILED, "TRAINER_DIED", 2)
    assert job.error_message is not None
    assert "signal 9" in job.error_message
