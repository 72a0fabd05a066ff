"""Memory that processes share, in files that they map."""

from __future__ import annotations

import fcntl
import mmap
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)


def mapped(path: Path, size: int, *, own: bool = False) -> mmap.mmap:
    """A file's first ``size`` bytes, zeros where nobody has written yet; the file, and its folder, are made.

    Where that fails, as on a full disk, it is memory of this process alone: what others would have read of it is lost,
    and no call is.

    Args:
        own: whether the file is to be new, and to stay locked (flock) while this process lives.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        # Appended to, so that what another process has written meanwhile stays.
        with path.open("xb+" if own else "ab+") as file:
            if own:
                # Until this process ends: the map has a descriptor of its own for the same open file.
                fcntl.flock(file, fcntl.LOCK_EX)
            # Zeros and no hole: on a disk that has become full since, who writes there would be killed (SIGBUS).
            file.write(bytes(max(size - file.tell(), 0)))
            file.flush()
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        _log.error("counts where no other process sees it", file=path.name, message=error.strerror)
        return mmap.mmap(-1, size)
