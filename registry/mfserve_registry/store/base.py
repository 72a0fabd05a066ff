"""What a store does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol, Self
from weakref import finalize

from mfserve_registry.errors import DamagedSnapshot

Check = Callable[[Path], object]
"""Looks at a local file or folder; DamagedSnapshot where it is not what it should be."""


class Held:
    """A local file or folder to read, which stays there as long as this object does, or until ``release``."""

    def __init__(self, path: Path, lock: int | None = None) -> None:
        self.path = path
        self.release = finalize(self, _close, lock)
        self.release.atexit = False  # the system does it

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a store keeps.

    Attributes:
        path: its name, or that of its folder and its own: ``snapshots/<digest>/manifest.json``.
        size_bytes: its length.
        written_at: when it was written, by the store's clock.
    """

    path: str
    size_bytes: int
    written_at: datetime


class Store(Protocol):
    """Keeps files, and flat folders of files, under names such as ``snapshots/<digest>``.

    What has a name is whole and durable, and never changes: it is put once and perhaps removed. Safe to share between
    threads and processes. Each method raises Unavailable where the store does not answer.
    """

    def stage(self) -> Path:
        """A path on a local disk where nothing is yet, for a file or a folder; end with ``put`` or ``discard``."""

    def discard(self, staged: Path) -> None:
        """Removes what is staged, whatever it is; what is already gone is fine."""

    def clean_staging(self, older_than: timedelta) -> None:
        """Removes what was staged and not written to for so long: its writers are gone."""

    def put(self, staged: Path, name: str, *, last: str | None = None) -> None:
        """Gives what is staged, whose files are flushed already, its name; ``staged`` is gone afterwards.

        Args:
            last: of a folder, the file without which it is not there: the others are put before it.

        Raises:
            FileExistsError: something else has the name, or what may be something else; ``staged`` is still there.
            OSError: the disk failed; ``staged`` is still there.
        """

    def contains(self, name: str) -> bool:
        """Whether there is a file of that name (its bytes are not checked)."""

    def read(self, name: str) -> bytes:
        """The bytes of a small file. FileNotFoundError: it is not there."""

    def hold(self, name: str, check: Check) -> Held:
        """A local copy of a file or folder, or itself.

        Args:
            check: what a copy must pass when it is made; one that is here already is not looked at.

        Raises:
            FileNotFoundError: it is not there.
            DamagedSnapshot: from ``check``.
            Unavailable: also where this machine's disk is full or failed.
        """

    def mend(self, name: str, check: Check) -> bool:
        """Makes a new copy of what is kept where the one that is here does not pass ``check``.

        Returns:
            Whether the copy passes now; False where ``hold`` gives no copies.

        Raises:
            FileNotFoundError, DamagedSnapshot: as from ``hold``.
        """

    def note_use(self, name: str) -> None:
        """Has a local copy, if there is one, count as used just now: others make room before it."""

    def remove(self, name: str, *, last: str | None = None) -> None:
        """Takes a file or folder away; what is not there is fine. Whoever reads it may read on.

        Args:
            last: the same as for ``put``; it goes before the others.
        """

    def files(self, kind: str) -> Iterator[StoredFile]:
        """The files below ``kind/``, those of folders too, in any order."""


def keep(
    store: Store, staged: Path, name: str, is_whole: Callable[[], bool], *, last: str | None = None
) -> None:
    """Puts what is staged, whose name tells its content: what has that name already is the same, or damaged.

    Args:
        is_whole: whether what has the name is undamaged and may stay.
    """
    while True:
        try:
            store.put(staged, name, last=last)
        except FileExistsError:
            if not is_whole():
                store.remove(name, last=last)
                continue
            store.discard(staged)
        return


def hold_sound(hold: Callable[[], Held], check: Check, mend: Callable[[], bool]) -> Held:
    """What is held and passes ``check``, if need be after it was mended."""
    held = hold()
    try:
        check(held.path)
    except DamagedSnapshot:
        if not mend():
            raise
        held = hold()
        check(held.path)
    return held


def _close(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)
