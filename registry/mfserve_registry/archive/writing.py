"""Writes an archive: the same version gives the same bytes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from mfserve_registry.archive.copying import Report, copy
from mfserve_registry.archive.document import CHECKSUM_NAME, NAME, Document, Member, checksum
from mfserve_registry.archive.tar import END, header, padding
from mfserve_registry.errors import DamagedSnapshot
from mfserve_registry.store.durable import sync_folder


def write_archive(
    file: BinaryIO, document: Document, opened: Callable[[Member], BinaryIO], report: Report
) -> None:
    """Writes from front to back, so that ``file`` may be a pipe.

    Args:
        opened: a member's bytes, from the beginning.
        report: told of the members' bytes as they are written.

    Raises:
        DamagedSnapshot: a member's bytes are not those of the document.
    """
    data = document.to_bytes()
    file.write(_whole(NAME, data))
    file.write(_whole(CHECKSUM_NAME, checksum(data)))
    for member in document.members:
        file.write(header(member.path, member.bytes))
        with opened(member) as source:
            try:
                copy(source, file, member, report)
            except (EOFError, ValueError) as error:
                raise DamagedSnapshot(f"{member.name} is damaged in the store.") from error
        file.write(padding(member.bytes))
    file.write(END)


def _whole(path: str, data: bytes) -> bytes:
    return header(path, len(data)) + data + padding(len(data))


def is_written_through(path: Path) -> bool:
    """Whether something is there that is no regular file: a pipe, a device, a link such as /dev/stdout."""
    return path.is_symlink() or (path.exists() and not path.is_file())


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file that takes the place of what is at ``path`` when it is whole and on disk; else nothing is left of it.

    What ``is_written_through`` stays.
    """
    if is_written_through(path):
        with path.open("wb") as file:
            yield file
        return
    beside = path.with_name(f".{uuid4().hex}.mfserve")
    try:
        with beside.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    sync_folder(path.parent)
