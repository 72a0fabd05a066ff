"""Copying a file of an archive, in or out."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import BinaryIO

from mfserve_registry.archive.document import Member

Progress = Callable[[int, int], None]
"""Told how many bytes have been copied, and of how many."""
Report = Callable[[int], None]
"""Told how many bytes more have been copied."""

_CHUNK = 1 << 20


def copy(source: BinaryIO, target: BinaryIO, member: Member, report: Report) -> None:
    """Copies the member's bytes and no more.

    Raises:
        EOFError: the source ended before.
        ValueError: they have another SHA-256.
    """
    digest, left = sha256(), member.bytes
    while left:
        chunk = source.read(min(left, _CHUNK))
        if not chunk:
            raise EOFError
        digest.update(chunk)
        target.write(chunk)
        report(len(chunk))
        left -= len(chunk)
    if digest.hexdigest() != member.sha256:
        raise ValueError("another SHA-256")


def adding_up(progress: Progress | None, total: int) -> Report:
    """Tells ``progress`` the sum, which is to become ``total``."""
    done = 0

    def report(more: int) -> None:
        nonlocal done
        done += more
        if progress is not None:
            progress(done, total)

    return report
