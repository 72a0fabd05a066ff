"""A trainer whose registry does not answer for a while."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mfserve_registry import Job, JobState, Registry
from mfserve_registry.contact import Contact
from mfserve_registry.snapshot import write_snapshot
from mfserve_trainer.attempt import Attempt
from mfserve_trainer.fitter import Fitter
from mfserve_trainer.messages import Done, FitTask
from mfserve_trainer.settings import Settings
from tests.backends import Postgres, bucket, make_bucket, place_of, postgres
from tests.places import BUCKET
from tests.registry.helpers import Clock
from tests.registry.snapshot.samples import random_content
from tests.trainer.samples import ENDLESS, SECONDS_LONG
from tests.trainer.trainers import claimed, finished, fitting, running_trainer, submit, versions
from tests.waiting import eventually, until

__all__ = ["bucket", "postgres"]

DAYS = 2 * 86_400


def rename(home: Path, table: str, name: str) -> None:
    """Renames a table: a statement that names it fails until it has its name again."""
    with closing(sqlite3.connect(home / "registry.db", timeout=30)) as database:
        database.execute("PRAGMA legacy_alter_table = ON")
        database.execute(f"ALTER TABLE {table} RENAME TO {name}")


def test_outage_ends_neither_the_fit_nor_the_trainer(registry: Registry, home: Path, csv: Path) -> None:
    with running_trainer(home, csv.parent, lease_seconds=30) as trainer:
        job_id = submit(registry, csv, SECONDS_LONG)
        fitting(registry, job_id)
        rename(home, "jobs", "jobs_away")
        eventually(lambda: "does not answer" in trainer.log.read_text(), "the trainer has noticed")
        rename(home, "jobs_away", "jobs")
        eventually(
            lambda: "answers again" in trainer.log.read_text(), "the trainer has noticed that it is over"
        )
        job = finished(registry, job_id)
        assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)
        # Nothing of what happened meanwhile is lost.
        steps = registry.jobs.progress(job_id)
        assert [step.epoch for step in steps if step.stage == "RATING_FIT"] == list(range(31))

        # Also while it waits for a job.
        noticed = trainer.log.read_text().count("does not answer")
        rename(home, "jobs", "jobs_away")
        eventually(
            lambda: trainer.log.read_text().count("does not answer") > noticed,
            "the trainer has noticed again",
        )
        rename(home, "jobs_away", "jobs")
        assert finished(registry, submit(registry, csv, model="next")).state is JobState.SUCCEEDED
        trainer.terminate()
    assert versions(registry, "movies") == [1]


def test_a_trainer_says_at_its_start_that_the_bucket_cannot_be_used(
    registry: Registry, home: Path, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFSERVE_STORE_URL", f"{bucket}-absent")
    with running_trainer(home, home) as trainer:
        eventually(lambda: f"'{BUCKET}-absent' does not exist" in trainer.log.read_text(), "it has said so")
        trainer.terminate()


class Written(Fitter):
    """Fits nothing: when ``end`` is set, its snapshot is there."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.end = asyncio.Event()

    async def perform(self, task: FitTask) -> AsyncGenerator[Done, None]:
        await self.end.wait()
        yield Done(digest=write_snapshot(task.staged, random_content()), facts={"metrics": None}, files=[])


async def test_a_fit_outlives_a_database_that_says_nothing_for_longer_than_its_lease(
    home: Path, csv: Path, postgres: Postgres, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, lease, asking = Clock(), timedelta(minutes=5), threading.Event()
    with place_of("postgres-s3", home, request) as place, place.open(clock=clock) as registry:
        get = registry.jobs.get

        def seen_to_ask(job_id: str) -> Job:
            asking.set()
            try:
                return get(job_id)
            finally:
                asking.clear()

        job_id = submit(registry, csv)
        claim = registry.jobs.claim("trainer", lease)
        assert claim is not None
        settings = Settings(home=home, lease_seconds=lease.total_seconds())
        fitter = Written(settings)
        monkeypatch.setattr(registry.jobs, "get", seen_to_ask)
        running = asyncio.create_task(
            Attempt(claim, settings, registry, fitter, Contact()).run(asyncio.Event())
        )
        with postgres.silent():
            assert await asyncio.to_thread(asking.wait, 60)
            clock.advance(2 * lease)
        fitter.end.set()
        await running
        job = registry.jobs.get(job_id)
        assert (job.state, job.attempt) == (JobState.SUCCEEDED, 1)


async def test_a_finished_fit_waits_for_a_bucket_that_does_not_exist_yet(
    registry: Registry, home: Path, csv: Path, bucket: str
) -> None:
    job_id = submit(registry, csv)
    claim = registry.jobs.claim("trainer", timedelta(minutes=5))
    assert claim is not None
    settings = Settings(home=home)
    fitter = Written(settings)
    fitter.end.set()
    with Registry.open(home, store_url=f"{bucket}-to-come") as there, capture_logs() as logs:
        running = asyncio.create_task(Attempt(claim, settings, there, fitter, Contact()).run(asyncio.Event()))
        await until(lambda: any("published later" in entry["event"] for entry in logs))
        make_bucket(f"{BUCKET}-to-come")
        await running
    said = next(entry["message"] for entry in logs if "published later" in entry["event"])
    assert said.startswith(f"The registry's bucket '{BUCKET}-to-come' does not exist")
    assert registry.jobs.get(job_id).state is JobState.SUCCEEDED


async def test_a_finished_fit_waits_for_the_registry(registry: Registry, home: Path, csv: Path) -> None:
    """Also where its files are in the store already, and only the last transaction has failed."""
    job_id = submit(registry, csv)
    claim = registry.jobs.claim("trainer", timedelta(minutes=5))
    assert claim is not None
    settings = Settings(home=home)
    fitter = Written(settings)
    fitter.end.set()
    rename(home, "versions", "versions_away")
    with capture_logs() as logs:
        running = asyncio.create_task(
            Attempt(claim, settings, registry, fitter, Contact()).run(asyncio.Event())
        )
        await until(lambda: any("published later" in entry["event"] for entry in logs))
    assert list((home / "snapshots").iterdir())
    rename(home, "versions_away", "versions")
    await running
    assert registry.jobs.get(job_id).state is JobState.SUCCEEDED
    assert versions(registry, "movies") == [1]


def test_folders_of_a_long_fit_are_not_taken_for_left_behind(
    registry: Registry, home: Path, csv: Path
) -> None:
    with running_trainer(home, csv.parent, lease_seconds=3) as trainer:
        job_id = submit(registry, csv, ENDLESS)
        # Before the first epoch too.
        claimed(registry, job_id)
        eventually(lambda: registry.jobs.progress(job_id), "the fit process has the task")
        folders = list((home / ".staging").iterdir())
        assert len(folders) == 2
        long_ago = time.time() - DAYS
        for folder in folders:
            os.utime(folder, (long_ago, long_ago))
        eventually(
            lambda: all(folder.stat().st_mtime > long_ago + DAYS / 2 for folder in folders),
            "the trainer has shown that it uses them",
        )
        registry.clean_staging()
        assert all(folder.is_dir() for folder in folders)
        trainer.terminate()
