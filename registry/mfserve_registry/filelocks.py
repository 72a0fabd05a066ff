"""Locks on files between the processes of a machine; the system frees those of a process that dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

_LOOK_SECONDS = 0.02


@contextmanager
def locked(path: Path, patience: float, *, shared: bool = False) -> Iterator[BinaryIO]:
    """The file, open and locked (flock); made where there is none, for the owner of its folder.

    Args:
        patience: seconds to wait for whoever holds the lock.
        shared: others may have it at the same time, if they share it too; otherwise it is for us alone.

    Raises:
        TimeoutError: another holds it and does not let go of it.
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    give_up = time.monotonic() + patience
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        belong_like(path.parent, file.fileno())
        while not _lock(file, kind):
            if time.monotonic() > give_up:
                raise TimeoutError(f"another process has held a lock for {patience:g} seconds")
            time.sleep(_LOOK_SECONDS)  # the system's own wait has no end
        yield file


def belong_like(other: Path, made: Path | int) -> None:
    """Gives what root has made the owner and group of ``other``: whose service it is must be able to open it too."""
    if os.geteuid() == 0:
        # Gone, or of a file system where root may not: who then cannot use it will say so.
        with suppress(FileNotFoundError, PermissionError):
            found = other.stat()
            os.chown(made, found.st_uid, found.st_gid)


def _lock(file: BinaryIO, kind: int) -> bool:
    """Whether the lock was free; closing the file, or dying, frees it again."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
