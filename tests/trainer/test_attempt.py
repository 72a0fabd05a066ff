"""How a trainer publishes a snapshot, and what it makes of one that cannot be published."""

from __future__ import annotations

import asyncio
import errno
import math
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mfserve_registry import JobState, Registry
from mfserve_registry.contact import Contact
from mfserve_registry.snapshot import verify_snapshot, write_snapshot
from mfserve_trainer.attempt import Attempt
from mfserve_trainer.fitter import Fitter
from mfserve_trainer.messages import Done, FitTask
from mfserve_trainer.settings import Settings
from tests.registry.helpers import spoil
from tests.registry.snapshot.samples import random_content
from tests.trainer.trainers import submit


def whole(staged: Path) -> str:
    return write_snapshot(staged, random_content())


def with_nan(staged: Path) -> str:
    write_snapshot(staged, random_content())
    return spoil(staged, "ranking_item_factors", math.nan)


def by_a_disk_that_loses_bytes(staged: Path) -> str:
    digest = write_snapshot(staged, random_content())
    file = staged / "ranking_item_factors.npy"
    file.write_bytes(file.read_bytes()[:-4] + bytes(4))
    return digest


class Fitting(Fitter):
    """Fits nothing: it writes a snapshot that somebody else has thought out."""

    def __init__(self, settings: Settings, write: Callable[[Path], str]) -> None:
        super().__init__(settings)
        self._write = write

    async def perform(self, task: FitTask) -> AsyncGenerator[Done, None]:
        yield Done(digest=self._write(task.staged), facts={"metrics": None}, files=[])


@pytest.mark.parametrize(
    ("write", "state", "told"),
    [
        (with_nan, JobState.FAILED, "ranking_item_factors.npy holds NaN or an infinite number."),
        (
            by_a_disk_that_loses_bytes,
            JobState.PENDING,
            "ranking_item_factors.npy is damaged: its SHA-256 is not the manifest's.",
        ),
    ],
)
async def test_what_would_come_out_the_same_again_is_not_tried_again(
    write: Callable[[Path], str],
    state: JobState,
    told: str,
    registry: Registry,
    home: Path,
    csv: Path,
) -> None:
    job_id = submit(registry, csv, max_attempts=3)
    claim = registry.jobs.claim("trainer", timedelta(minutes=5))
    assert claim is not None
    settings = Settings(home=home, data_roots=(csv.parent,))
    await Attempt(claim, settings, registry, Fitting(settings, write), Contact()).run(asyncio.Event())
    job = registry.jobs.get(job_id)
    assert (job.state, job.attempt) == (state, 1)
    assert (job.error_reason, job.error_message) == ("SNAPSHOT_DAMAGED", told)


async def test_a_version_is_published_where_files_cannot_be_linked(
    registry: Registry, home: Path, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)  # as vfat and some network file systems do
    job_id = submit(registry, csv)
    claim = registry.jobs.claim("trainer", timedelta(minutes=5))
    assert claim is not None
    settings = Settings(home=home, data_roots=(csv.parent,))
    await Attempt(claim, settings, registry, Fitting(settings, whole), Contact()).run(asyncio.Event())
    assert registry.jobs.get(job_id).state is JobState.SUCCEEDED
    digest = registry.models.get_version("movies", 1).digest
    verify_snapshot(registry.snapshots.path(digest), digest)
