"""The folders of starts: none is left, whatever ended those who made them, and none in use is removed."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from mfserve_server.start_folder import start_folder

OPENING = """
import sys
from mfserve_server.start_folder import start_folder
with start_folder() as folder:
    print(folder.path, flush=True)
    sys.stdin.read()
"""
LONG_AGO = (0, 0)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)  # which was found in the environment before
    return tmp_path


def test_a_folder_lives_as_long_as_its_start(temporary: Path) -> None:
    with start_folder() as folder:
        (folder.verdicts / "digest").touch()
        assert list(temporary.iterdir()) == [folder.path]
    assert list(temporary.iterdir()) == []


def test_what_a_killed_start_has_left_is_removed_and_what_is_in_use_is_not(temporary: Path) -> None:
    command = [sys.executable, "-c", OPENING]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        theirs = Path(os.fsdecode(other.stdout.readline().rstrip()))
        (theirs / "verdicts" / "digest").touch()
        os.utime(theirs, LONG_AGO)
        with start_folder() as ours:
            assert set(temporary.iterdir()) == {theirs, ours.path}
        other.kill()
    with start_folder() as ours:
        assert list(temporary.iterdir()) == [ours.path]


def test_a_folder_whose_maker_may_be_about_to_lock_it_is_left(temporary: Path) -> None:
    new = Path(tempfile.mkdtemp(prefix="mfserve-start-"))
    with start_folder() as ours:
        assert set(temporary.iterdir()) == {new, ours.path}


def test_a_file_system_that_locks_no_folders_will_do(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", refuse)
    old = Path(tempfile.mkdtemp(prefix="mfserve-start-"))
    os.utime(old, LONG_AGO)
    with start_folder() as ours:
        assert set(temporary.iterdir()) == {old, ours.path}  # perhaps in use
    assert list(temporary.iterdir()) == [old]


def test_what_is_no_folder_of_ours_is_left(temporary: Path) -> None:
    elsewhere = temporary / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    os.utime(elsewhere, LONG_AGO)
    (temporary / "mfserve-start-link").symlink_to(elsewhere)
    (temporary / "mfserve-start-file").touch()
    with start_folder():
        pass
    assert {path.name for path in temporary.rglob("*")} == {
        "elsewhere",
        "file",
        "mfserve-start-link",
        "mfserve-start-file",
    }
