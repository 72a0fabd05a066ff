"""The finished trials of a search, kept in a file that outlives the process, in Optuna's journal format (JSON lines).

Only finished trials are written, one line each, so that a search that is broken off, even by SIGKILL, goes on with the
trial that was under way, and no half trial stands between the others.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Literal

import optuna
import structlog
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

_log = structlog.get_logger(__name__)

KEPT = 100
"""Searches whose trials are kept, a few hundred kilobytes each at most: those that were gone on with last."""
_NAME = "tuning"


class _HeldAlready(JournalFileOpenLock):
    """Optuna's own locks are files, which a process that is killed leaves behind; ours ends with the process."""

    def acquire(self) -> bool:
        return True

    def release(self) -> None:
        pass


@contextmanager
def finished_trials(path: Path, direction: Literal["minimize", "maximize"]) -> Iterator[optuna.Study]:
    """The study at ``path``, which is made if need be; a trial that is added to it is on disk.

    Two processes may be at the same search, one of them perhaps stopped or given up for dead. The second one gets a
    study in memory: it repeats trials, with the same results, and waits for nobody. So does one whose file system knows
    no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    _forget_the_oldest(path.parent)
    with path.open("a+b") as file:
        if not _locked(file):
            yield optuna.create_study(direction=direction)
            return
        _drop_torn_line(file)
        try:
            study = _open(path, direction)
        except (ValueError, LookupError, TypeError, AssertionError):
            # What Optuna raises for lines that are no journal. The trials can be had again, at the price of their time.
            _log.warning("the trials kept so far cannot be read; the search begins anew", path=str(path))
            file.truncate(0)
            study = _open(path, direction)
        yield study


def _open(path: Path, direction: Literal["minimize", "maximize"]) -> optuna.Study:
    storage = JournalStorage(JournalFileBackend(str(path), _HeldAlready(str(path))))
    return optuna.create_study(storage=storage, study_name=_NAME, direction=direction, load_if_exists=True)


def _forget_the_oldest(folder: Path) -> None:
    """Removes what is over ``KEPT``, but no search that somebody is at."""
    with suppress(FileNotFoundError):  # another process does the same
        for path in sorted(folder.glob("*.jsonl"), key=lambda path: path.stat().st_mtime_ns)[:-KEPT]:
            with suppress(OSError), path.open("rb") as file:  # somebody is at it, or nobody can tell
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()


def _locked(file: BinaryIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _log.info("somebody else is at this search; its trials are not kept", path=file.name)
        return False
    except OSError as error:
        # A file system without locks, such as some NFS: nobody can tell who else is at it.
        _log.warning("the search cannot be locked; its trials are not kept", path=file.name, error=str(error))
        return False
    return True


def _drop_torn_line(file: BinaryIO) -> None:
    """Cuts off what a process was writing when it was killed: another line behind it would make both unreadable."""
    file.seek(0)
    whole = file.read()
    if not whole.endswith(b"\n"):
        file.truncate(whole.rfind(b"\n") + 1)
