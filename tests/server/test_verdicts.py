"""The folders of verdicts: none is left, whatever ended those who made them, and none in use is removed."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mfserve_server.verdicts import verdict_folder

OPENING = """
import sys
from mfserve_server.verdicts import verdict_folder
with verdict_folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
"""
LONG_AGO = (0, 0)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # which was found in the environment before
    return tmp_path


def test_a_folder_lives_as_long_as_its_start(temporary: Path) -> None:
    with verdict_folder() as folder:
        (folder / "digest").touch()
        assert list(temporary.iterdir()) == [folder]
    assert list(temporary.iterdir()) == []


def test_what_a_killed_start_has_left_is_removed_and_what_is_in_use_is_not(temporary: Path) -> None:
    command = [sys.executable, "-c", OPENING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        theirs = Path(os.fsdecode(other.stdout.readline().rstrip()))
        (theirs / "digest").touch()
        os.utime(theirs, LONG_AGO)
        with verdict_folder() as ours:
            assert set(temporary.iterdir()) == {theirs, ours}
        other.kill()
    with verdict_folder() as ours:
        assert list(temporary.iterdir()) == [ours]


def test_a_folder_whose_maker_may_be_about_to_lock_it_is_left(temporary: Path) -> None:
    new = Path(tempfile.mkdtemp(prefix="mfserve-verdicts-"))
    with verdict_folder() as ours:
        assert set(temporary.iterdir()) == {new, ours}


def test_a_file_system_that_locks_no_folders_will_do(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", refuse)
    old = Path(tempfile.mkdtemp(prefix="mfserve-verdicts-"))
    os.utime(old, LONG_AGO)
    with verdict_folder() as ours:
        assert set(temporary.iterdir()) == {old, ours}  # perhaps in use
    assert list(temporary.iterdir()) == [old]


def test_what_is_no_folder_of_ours_is_left(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    os.utime(elsewhere, LONG_AGO)
    (temporary / "mfserve-verdicts-link").symlink_to(elsewhere)
    (temporary / "mfserve-verdicts-file").touch()
    with verdict_folder():
        pass
    assert {path.name for path in temporary.rglob("*")} == {
        "elsewhere",
        "file",
        "mfserve-verdicts-link",
        "mfserve-verdicts-file",
    }
