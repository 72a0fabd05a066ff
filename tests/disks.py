"""A small disk of its own, that really fills."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.programs import REQUIRE
from tests.waiting import eventually


@contextmanager
def small_disk(path: Path, size: int) -> Iterator[Path]:
    """A file system of ``size`` bytes at ``path``; skips the test where nothing may be mounted."""
    path.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "tmpfs", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        if os.environ.get(REQUIRE):
            pytest.fail(
                f"Nothing can be mounted here: {done.stderr.strip()}. Unset {REQUIRE} to skip this test."
            )
        pytest.skip("nothing may be mounted here")
    try:
        yield path
    finally:
        # What a killed process has open it lets go of a moment later.
        eventually(
            lambda: subprocess.run(["umount", str(path)], check=False, capture_output=True).returncode == 0,
            "nobody uses the disk",
        )


@contextmanager
def filled(disk: Path, but: int) -> Iterator[None]:
    """Leaves ``but`` bytes free."""
    ballast = disk / "ballast"
    free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - but)
    try:
        yield
    finally:
        ballast.unlink()
