"""Files and folders that are being written, before they get their names."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import uuid4


class Staging:
    """A folder for them, on the file system on which they are to get their names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def stage(self) -> Path:
        return self._folder / uuid4().hex

    def discard(self, staged: Path) -> None:
        if staged.parent != self._folder:
            raise ValueError(f"{staged} is not staged here")
        # What cannot be removed is left behind, as if this process had died: what led here says more.
        if staged.is_dir():
            shutil.rmtree(staged, ignore_errors=True)
        else:
            with suppress(OSError):
                staged.unlink()

    def set_aside(self, path: Path) -> None:
        """Removes ``path``, which nobody may find in part.

        By rename and unlink: whoever has its files open or mapped keeps them. Files are never truncated.
        """
        aside = self.stage()
        with suppress(FileNotFoundError):  # another process was faster
            path.rename(aside)
        self.discard(aside)

    def clean(self, older_than: timedelta) -> None:
        """Removes what nobody has written to for so long.

        By the file system's clock and not the registry's, which tests may set.
        """
        limit = time.time() - older_than.total_seconds()
        for staged in self._folder.iterdir():
            if _last_written(staged) < limit:
                self.discard(staged)


def _last_written(path: Path) -> float:
    """Seconds since the epoch of the newest change; now where it is being changed as we look."""
    try:
        return max(each.stat().st_mtime for each in (path, *path.rglob("*")))
    except FileNotFoundError:
        return time.time()
