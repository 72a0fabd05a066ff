"""Making what was written survive a loss of power."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Flushes the folder's own entries (files made, renamed or removed in it) to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def copy_durably(file: Path, target: Path) -> None:
    """Copies the bytes and flushes them; ``target`` is a new file."""
    with file.open("rb") as source, target.open("xb") as copy:
        shutil.copyfileobj(source, copy, 1 << 20)
        copy.flush()
        os.fsync(copy.fileno())


def write_durably(target: Path, data: bytes) -> None:
    """Writes the bytes and flushes them; ``target`` is a new file."""
    with target.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
