"""What the processes of a start share in files. It goes with the start, or where that was killed with the next one."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

_PREFIX = "mfserve-start-"
_YOUNG_SECONDS = 60.0
"""A folder without a lock may be so new that its maker has yet to take it."""


@dataclass(frozen=True, slots=True)
class StartFolder:
    """The folder of one start, on this machine.

    Attributes:
        path: of the whole.
    """

    path: Path

    @property
    def verdicts(self) -> Path:
        """Of what verifying snapshots has found."""
        return self.path / "verdicts"

    @property
    def pages(self) -> Path:
        """Of what each process counts."""
        return self.path / "pages"

    @property
    def rates(self) -> Path:
        """Of how often callers call."""
        return self.path / "rates"


@contextmanager
def start_folder() -> Iterator[StartFolder]:
    """A new temporary one, locked (flock) by this process while it lives, however it ends."""
    _remove_stale()
    with TemporaryDirectory(prefix=_PREFIX) as name, _open(Path(name)) as opened:
        with suppress(OSError):  # some NFS lock no folders: there nobody can tell that another's is stale
            fcntl.flock(opened, fcntl.LOCK_EX)
        folder = StartFolder(Path(name))
        for each in (folder.verdicts, folder.pages, folder.rates):
            each.mkdir()
        yield folder


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
