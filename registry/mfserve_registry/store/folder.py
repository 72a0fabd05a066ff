"""A store in a folder, which all of its machines have mounted if there are several."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mfserve_registry.store.base import Check, Held, StoredFile
from mfserve_registry.store.durable import sync_folder
from mfserve_registry.store.staging import Staging


class FolderStore:
    """Keeps each thing under its name in ``root``; what is staged lies in ``root/.staging``, and is renamed.

    Whoever holds something holds the very files: there are no copies.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._staging = Staging(root / ".staging")
        self.stage = self._staging.stage
        self.discard = self._staging.discard

    def clean_staging(self, older_than: timedelta) -> None:
        self._staging.clean(older_than)

    def put(self, staged: Path, name: str, *, last: str | None = None) -> None:
        target = self._root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if staged.is_dir():
            sync_folder(staged)
        elif target.exists():  # a rename would replace it
            raise FileExistsError(target)
        try:
            staged.rename(target)
        except OSError as error:
            if target.exists():
                raise FileExistsError(target) from error
            raise
        # All of them, every time: who has made one may have died before it was flushed.
        for folder in Path(name).parents:
            sync_folder(self._root / folder)

    def contains(self, name: str) -> bool:
        return (self._root / name).is_file()

    def read(self, name: str) -> bytes:
        return (self._root / name).read_bytes()

    def hold(self, name: str, check: Check) -> Held:
        path = self._root / name
        if not path.exists():
            raise FileNotFoundError(path)
        return Held(path)

    def mend(self, name: str, check: Check) -> bool:
        return False

    def note_use(self, name: str) -> None:
        pass

    def remove(self, name: str, *, last: str | None = None) -> None:
        self._staging.set_aside(self._root / name)

    def files(self, kind: str) -> Iterator[StoredFile]:
        for path in (self._root / kind).rglob("*"):
            with suppress(FileNotFoundError):  # just removed
                if path.is_file():
                    found = path.stat()
                    written_at = datetime.fromtimestamp(found.st_mtime, UTC)
                    yield StoredFile(path.relative_to(self._root).as_posix(), found.st_size, written_at)
