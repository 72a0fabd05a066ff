"""Where snapshots are kept: by digest, complete or not at all."""

from __future__ import annotations

import re
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from mfserve_registry.errors import DamagedSnapshot, InvalidArgument
from mfserve_registry.snapshot.durable import sync_folder
from mfserve_registry.snapshot.manifest import FILE_NAME, digest_of
from mfserve_registry.snapshot.reader import verify_snapshot

_DIGEST = re.compile(r"[0-9a-f]{64}")


class SnapshotStore(Protocol):
    """Keeps snapshots under their digests."""

    def stage(self) -> Path:
        """A fresh, empty local folder to write a snapshot into; end with ``commit`` or ``discard``."""

    def commit(self, staged: Path, digest: str) -> None:
        """Makes the snapshot in ``staged`` durable and visible under ``digest``; ``staged`` is gone afterwards.

        Committing what is already there does nothing; what is there but damaged is replaced.
        """

    def discard(self, staged: Path) -> None:
        """Removes a staged folder, whatever it holds; one that is already gone is fine."""

    def clean_staging(self, older_than: timedelta) -> None:
        """Removes staged folders in which nothing was written for so long: their writers are gone."""

    def contains(self, digest: str) -> bool:
        """Whether a snapshot is visible under ``digest`` (its bytes are not checked)."""

    def path(self, digest: str) -> Path:
        """The folder to open the snapshot from, whether or not it is there."""


class FolderStore:
    """A store in a local folder: ``root/<digest>/``, with ``root/.staging/`` on the same file system for renames."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._staging = root / ".staging"
        self._staging.mkdir(parents=True, exist_ok=True)

    def stage(self) -> Path:
        staged = self._staging / uuid4().hex
        staged.mkdir()
        return staged

    def commit(self, staged: Path, digest: str) -> None:
        """See SnapshotStore.

        Raises:
            DamagedSnapshot: ``staged`` does not hold the snapshot ``digest``.
            OSError: the disk failed; ``staged`` is still there.
        """
        target = self.path(digest)
        _check_manifest(staged, digest)
        sync_folder(staged)
        while True:
            try:
                staged.rename(target)
                break
            except OSError:
                if not target.exists():
                    raise
            if _verifies(target, digest):
                self.discard(staged)
                break
            self._move_aside(target)
        sync_folder(self._root)

    def discard(self, staged: Path) -> None:
        if staged.parent != self._staging:
            raise ValueError(f"{staged} is not a staged folder of this store")
        shutil.rmtree(staged, ignore_errors=True)

    def clean_staging(self, older_than: timedelta) -> None:
        limit = time.time() - older_than.total_seconds()
        for staged in self._staging.iterdir():
            if _last_written(staged) < limit:
                self.discard(staged)

    def contains(self, digest: str) -> bool:
        return (self.path(digest) / FILE_NAME).is_file()

    def path(self, digest: str) -> Path:
        """See SnapshotStore; InvalidArgument where ``digest`` is not 64 hex digits, so that no path can escape."""
        if not _DIGEST.fullmatch(digest):
            raise InvalidArgument("A snapshot's digest is 64 lower-case hex digits.", field="digest")
        return self._root / digest

    def _move_aside(self, target: Path) -> None:
        """Takes a damaged snapshot out of the way.

        By rename and unlink: a server that has its files mapped keeps its mappings. Files are never truncated.
        """
        aside = self._staging / uuid4().hex
        try:
            target.rename(aside)
        except FileNotFoundError:  # another process was faster
            return
        self.discard(aside)


def _last_written(folder: Path) -> float:
    """Seconds since the epoch of the newest change in the folder; now where it is being changed as we look."""
    try:
        return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
    except FileNotFoundError:
        return time.time()


def _check_manifest(staged: Path, digest: str) -> None:
    try:
        data = (staged / FILE_NAME).read_bytes()
    except OSError as error:
        raise DamagedSnapshot(f"The staged snapshot has no readable {FILE_NAME}.") from error
    if digest_of(data) != digest:
        raise DamagedSnapshot(f"The staged snapshot is not {digest}.")


def _verifies(directory: Path, digest: str) -> bool:
    try:
        verify_snapshot(directory, digest)
    except DamagedSnapshot:
        return False
    return True
