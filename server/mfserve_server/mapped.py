"""Memory that processes share, in files that they map."""

from __future__ import annotations

import mmap
from pathlib import Path

import structlog

_log = structlog.get_logger(__name__)


def mapped(path: Path, size: int) -> mmap.mmap:
    """A file's first ``size`` bytes, zeros where nobody has written yet; the file, and its folder, are made.

    Where that fails, as on a full disk, it is memory of this process alone: what others would have read of it is lost,
    and no call is.
    """
    try:
        path.parent.mkdir(exist_ok=True)
        # Appended to, so that what another process has written meanwhile stays. Zeros and no hole: on a disk that has
        # become full since, the first who wrote there would be killed (SIGBUS).
        with path.open("ab+") as file:
            file.write(bytes(max(size - file.tell(), 0)))
            file.flush()
            return mmap.mmap(file.fileno(), size)
    except OSError as error:
        _log.error("counts where no other process sees it", file=path.name, message=error.strerror)
        return mmap.mmap(-1, size)
