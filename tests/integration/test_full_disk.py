"""A disk that is full, or fails, costs a training and nothing else."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mfserve import Client
from mfserve_registry import Job, JobState, Registry
from mfserve_registry.errors import Unavailable
from tests.disks import filled, small_disk
from tests.integration.asking import asked_in_a_loop
from tests.integration.service import running_service
from tests.places import Place
from tests.programs import needs
from tests.registry.collecting import gone, kept, needed
from tests.registry.helpers import request
from tests.trainer.conftest import csv
from tests.trainer.samples import QUICK
from tests.trainer.trainers import finished, running_trainer, submit

__all__ = ["csv"]

EIO = os.strerror(errno.EIO)
ENOSPC = os.strerror(errno.ENOSPC)


def stored(home: Path) -> set[str]:
    """Everything that has a name in the store."""
    return {
        str(path.relative_to(home))
        for kind in ("snapshots", "artifacts")
        for path in (home / kind).rglob("*")
    }


def test_a_database_without_room_says_so(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 4 << 20) as home, Registry.open(home) as registry:

        def submit_many() -> None:
            for number in range(1000):  # the log has some room of its own
                registry.jobs.submit(request(f"r{number}"))

        with filled(home, but=0), pytest.raises(Unavailable, match=r"disk .* is full"):
            submit_many()
        registry.jobs.submit(request("later"))
        assert registry.jobs.list(page_size=1).items[0].request_id == "later"


@contextmanager
def failing(folder: Path, real: Path) -> Iterator[None]:
    """Lets the folder lie where strace lets no flush through."""
    folder.rename(real)
    folder.symlink_to(real)
    try:
        yield
    finally:
        folder.unlink()
        real.rename(folder)


@needs("strace")
def test_jobs_on_a_disk_that_is_full_or_fails_say_so_and_the_next_ones_work(
    tmp_path: Path, csv: Path
) -> None:
    with small_disk(tmp_path / "disk", 32 << 20) as home:
        snapshots, bad = home / "snapshots", home / "bad"
        faults = ["strace", "-D", "-f", "-qq", "--seccomp-bpf", "-o", str(tmp_path / "strace.log")]
        faults += ["-P", str(bad), "-e", "trace=fsync", "-e", "inject=fsync:error=EIO"]
        with (
            Registry.open(home) as registry,
            running_service(home, "--no-trainer") as service,
            running_trainer(home, csv.parent, under=faults),
            Client(service.address) as client,
        ):

            def train(seed: int) -> Job:
                """Each training makes another snapshot."""
                return finished(registry, submit(registry, csv, QUICK.model_copy(update={"seed": seed})))

            assert train(1).version == 1
            before = stored(home)
            with asked_in_a_loop(service.address, user="u1") as outcomes:
                with filled(home, but=256 << 10):
                    full = train(2)
                assert (full.state, full.error_reason) == (JobState.FAILED, "STORAGE_FAILED")
                assert ENOSPC in (full.error_message or "")
                assert stored(home) == before
                assert train(3).version == 2
                # Renamed into its place, and then the folder cannot be flushed.
                with failing(snapshots, bad):
                    broken = train(4)
                assert (broken.state, broken.error_reason) == (JobState.FAILED, "STORAGE_FAILED")
                assert EIO in (broken.error_message or "")
                assert [version.version for version in client.list_versions("movies")] == [2, 1]
                assert train(4).version == 3
            assert len(outcomes) > 100
            assert set(outcomes) == {1}
            gone(registry)
            assert kept(Place(home)) == needed(registry)
