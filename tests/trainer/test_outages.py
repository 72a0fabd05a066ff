"""A trainer whose registry does not answer for a while."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from mfserve_registry import JobState, Registry
from tests.trainer.samples import ENDLESS, SECONDS_LONG
from tests.trainer.trainers import claimed, finished, fitting, running_trainer, submit, versions
from tests.waiting import eventually

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
