"""Local copies of what a bucket keeps: shared by the processes of a machine, bounded, and still there after a restart.

Whoever uses a copy has a shared lock (flock) on it, which the system takes back when the process dies. To be removed
it must be locked exclusively, so that nothing is taken away that is in use.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Protocol

import structlog

from mfserve_registry.errors import DamagedSnapshot, Unavailable
from mfserve_registry.filelocks import locked
from mfserve_registry.store.base import Check, Held
from mfserve_registry.store.durable import sync_folder
from mfserve_registry.store.staging import Staging

PATIENCE_SECONDS = 120.0
"""How long a process waits for another one that fetches the same."""

_log = structlog.get_logger(__name__)


class Source(Protocol):
    """Where a copy comes from."""

    def size(self) -> int:
        """Bytes to come. FileNotFoundError: there is nothing."""

    def copy(self, target: Path) -> None:
        """Makes the copy, with its files flushed to disk, at ``target``, where nothing is yet."""


class Cache:
    """The copies, under their names in ``root``.

    Args:
        root: a folder on a local disk.
        staging: on the same file system.
        limit: most bytes of all copies; those that were not used for longest make room. What is in use stays, and
            what is wanted is fetched, also beyond it.
    """

    def __init__(self, root: Path, staging: Staging, limit: int) -> None:
        self._root = root
        self._staging = staging
        self._limit = limit
        self._locks = root / ".locks"
        self._locks.mkdir(parents=True, exist_ok=True)

    def hold(self, name: str, source: Source, check: Check) -> Held:
        """The copy that is here, or one that is made now and passes ``check``."""
        while True:
            if (held := self._found(name)) is not None:
                return held
            with self._alone(name):
                if not (self._root / name).exists():
                    self._fetch(name, source, check)

    def mend(self, name: str, source: Source, check: Check) -> None:
        """Replaces a copy that does not pass ``check``. Whoever has it open or mapped keeps what he has."""
        with self._alone(name):
            try:
                check(self._root / name)
            except DamagedSnapshot as error:
                _log.warning("fetches a damaged copy anew", name=name, message=error.message)
                self._fetch(name, source, check)

    def note_use(self, name: str) -> None:
        """Counts a copy as used just now; a folder's time is its own, and no file in it is touched."""
        with suppress(FileNotFoundError):
            os.utime(self._root / name)

    def drop(self, name: str) -> None:
        """Forgets a copy, whether or not it is in use."""
        self._staging.set_aside(self._root / name)

    def _fetch(self, name: str, source: Source, check: Check) -> None:
        size = source.size()
        self._make_room(size, sparing=name)
        staged, target, began = self._staging.stage(), self._root / name, time.monotonic()
        try:
            source.copy(staged)
            check(staged)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._staging.set_aside(target)
            staged.rename(target)
            sync_folder(target.parent)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise Unavailable(f"No copy of what the store keeps can be made here: {why}.") from error
        finally:
            self._staging.discard(staged)
        _log.info("fetched", name=name, bytes=size, seconds=round(time.monotonic() - began, 3))

    def _found(self, name: str) -> Held | None:
        """The copy, locked for us; None where there is none, or not any more."""
        path = self._root / name
        try:
            lock = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            return None
        fcntl.flock(lock, fcntl.LOCK_SH)  # waits for a rename at most
        if not _is_at(path, lock):
            os.close(lock)
            return None
        self.note_use(name)
        return Held(path, lock)

    def _make_room(self, size: int, sparing: str) -> None:
        kept = [entry for entry in self._entries() if entry[2] != self._root / sparing]
        excess = sum(bytes_ for _, bytes_, _ in kept) + size - self._limit
        for _, bytes_, path in kept:
            if excess <= 0:
                return
            if self._evict(path):
                excess -= bytes_

    def _entries(self) -> list[tuple[int, int, Path]]:
        """When it was last used, its bytes, and itself, of each copy; the one that was not used for longest first."""
        found = []
        for path in (path for kind in self._root.iterdir() if kind != self._locks for path in kind.iterdir()):
            with suppress(FileNotFoundError):  # another process was faster
                found.append((path.stat().st_mtime_ns, _size(path), path))
        return sorted(found)

    def _evict(self, path: Path) -> bool:
        """Removes a copy; False where it is in use."""
        try:
            lock = os.open(path, os.O_RDONLY)
        except FileNotFoundError:  # another process was faster
            return True
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._staging.set_aside(path)
        except BlockingIOError:
            return False
        finally:
            os.close(lock)
        _log.info("removed a copy to make room", name=str(path.relative_to(self._root)))
        return True

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Waits for whoever else on this machine fetches the same; Unavailable where that takes too long."""
        # A few locks for all names: they are never removed.
        lock = self._locks / hashlib.sha256(name.encode()).hexdigest()[:2]
        with ExitStack() as held:
            try:
                held.enter_context(locked(lock, PATIENCE_SECONDS))
            except TimeoutError as error:
                raise Unavailable("Another process is still fetching this; try again.") from error
            yield


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _size(path: Path) -> int:
    return sum(each.stat().st_size for each in (path, *path.rglob("*")) if each.is_file())
