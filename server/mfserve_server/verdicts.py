"""The folder of a start's verdicts: gone with its start, and where that was killed with the next one on the machine."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

_PREFIX = "mfserve-verdicts-"
_YOUNG_SECONDS = 60.0
"""A folder without a lock may be so new that its maker has yet to take it."""


@contextmanager
def verdict_folder() -> Iterator[Path]:
    """A new temporary folder, locked (flock) by this process while it lives, however it ends."""
    _remove_stale()
    with TemporaryDirectory(prefix=_PREFIX) as name, _open(Path(name)) as folder:
        with suppress(OSError):  # some NFS lock no folders: there nobody can tell that another's is stale
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield Path(name)


def _remove_stale() -> None:
    """Removes the folders whose makers are dead."""
    for path in Path(gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError), _open(path) as folder:  # locked, or another user's, or gone meanwhile
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(folder).st_mtime < time.time() - _YOUNG_SECONDS:
                shutil.rmtree(path)


@contextmanager
def _open(path: Path) -> Iterator[int]:
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield folder
    finally:
        os.close(folder)
