"""The snapshots in the registry's store: by digest, complete or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mfserve_registry.errors import DamagedSnapshot, InvalidArgument
from mfserve_registry.snapshot.manifest import FILE_NAME, digest_of
from mfserve_registry.snapshot.reader import verify_snapshot
from mfserve_registry.store import Check, Held, Store, keep

_DIGEST = re.compile(r"[0-9a-f]{64}")


class SnapshotStore:
    """Keeps snapshots under their digests, ``snapshots/<digest>/`` in ``store``, the manifest last."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @staticmethod
    def name(digest: str) -> str:
        """What the store calls the snapshot; InvalidArgument where ``digest`` is none, so that no path can escape."""
        if not _DIGEST.fullmatch(digest):
            raise InvalidArgument("A snapshot's digest is 64 lower-case hex digits.", field="digest")
        return f"snapshots/{digest}"

    def stage(self) -> Path:
        """A fresh, empty local folder to write a snapshot into; end with ``commit`` or ``discard``."""
        staged = self._store.stage()
        staged.mkdir()
        return staged

    def discard(self, staged: Path) -> None:
        """Removes a staged folder, whatever it holds; one that is already gone is fine."""
        self._store.discard(staged)

    def commit(self, staged: Path, digest: str) -> None:
        """Makes the snapshot in ``staged`` durable and visible under ``digest``; ``staged`` is gone afterwards.

        Committing what is already there does nothing; what is there but damaged is replaced.

        Raises:
            DamagedSnapshot: ``staged`` does not hold the snapshot ``digest``.
            OSError: the disk failed; ``staged`` is still there.
            Unavailable: the store does not answer; the same.
        """
        name = self.name(digest)
        _check_manifest(staged, digest)
        keep(self._store, staged, name, lambda: self._is_whole(digest), last=FILE_NAME)

    def any(self) -> bool:
        """Whether there is a file of any snapshot."""
        return next(self._store.files("snapshots"), None) is not None

    def contains(self, digest: str) -> bool:
        """Whether a snapshot is visible under ``digest`` (its bytes are not checked)."""
        return self._store.contains(f"{self.name(digest)}/{FILE_NAME}")

    def manifest(self, digest: str) -> bytes:
        """The bytes of the manifest, whole. DamagedSnapshot, Unavailable."""
        try:
            data = self._store.read(f"{self.name(digest)}/{FILE_NAME}")
        except OSError as error:
            raise DamagedSnapshot(f"Snapshot {digest} has no readable {FILE_NAME}.") from error
        if digest_of(data) != digest:
            raise DamagedSnapshot(f"{FILE_NAME} of snapshot {digest} is damaged.")
        return data

    def hold(self, digest: str) -> Held:
        """The snapshot's folder on this machine, to be opened from; it stays there while it is held.

        Raises:
            DamagedSnapshot: SNAPSHOT_MISSING; or SNAPSHOT_DAMAGED where what the store has is no good to be copied.
            Unavailable: the store does not answer.
        """
        with _missing(digest):
            return self._store.hold(self.name(digest), _check(digest))

    def path(self, digest: str) -> Path:
        """The same folder, without a promise that it stays; raises the same."""
        return self.hold(digest).path

    def mend(self, digest: str) -> bool:
        """Makes a new copy of what the store keeps where the local one is damaged; raises the same.

        Returns:
            Whether the files of the copy are whole now; False where the local files are the store's own.
        """
        with _missing(digest):
            return self._store.mend(self.name(digest), _check(digest))

    def note_use(self, digest: str) -> None:
        """Keeps a local copy from being among the first that make room for others."""
        self._store.note_use(self.name(digest))

    def _is_whole(self, digest: str) -> bool:
        try:
            self.manifest(digest)
            with self.hold(digest) as held:
                verify_snapshot(held.path, digest)
        except DamagedSnapshot:
            return False
        return True


def _check(digest: str) -> Check:
    return lambda folder: verify_snapshot(folder, digest)


@contextmanager
def _missing(digest: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise DamagedSnapshot(f"Snapshot {digest} is not in the store.", reason="SNAPSHOT_MISSING") from error


def _check_manifest(staged: Path, digest: str) -> None:
    try:
        data = (staged / FILE_NAME).read_bytes()
    except OSError as error:
        raise DamagedSnapshot(f"The staged snapshot has no readable {FILE_NAME}.") from error
    if digest_of(data) != digest:
        raise DamagedSnapshot(f"The staged snapshot is not {digest}.")
