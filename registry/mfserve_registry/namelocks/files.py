"""Locks on names by locks on files, beside an SQLite database: it has one machine."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sqlalchemy import Engine

from mfserve_registry.errors import Unavailable
from mfserve_registry.filelocks import belong_like, locked
from mfserve_registry.namelocks.base import PATIENCE_SECONDS, NameLock


class FileNameLocks:
    """A few locks for all names, in a folder beside ``database`` and of its owner: they are never removed."""

    def __init__(self, database: Path, writer: Engine) -> None:
        # By its own name: whoever uses it through a symlink is to find the same locks.
        self._database = database.resolve()
        self._folder = self._database.with_name(f"{self._database.name}-locks")
        self._lock = _FileNameLock(writer)

    @contextmanager
    def shared(self, names: Collection[str]) -> Iterator[NameLock]:
        with ExitStack() as held:
            try:
                for file in sorted({self._file(name) for name in names}):
                    held.enter_context(locked(file, PATIENCE_SECONDS, shared=True))
            except TimeoutError as error:
                raise Unavailable("What is to be stored is just being removed; try again.") from error
            yield self._lock

    @contextmanager
    def alone(self, name: str) -> Iterator[NameLock | None]:
        with ExitStack() as held:
            try:
                held.enter_context(locked(self._file(name), patience=0))
            except TimeoutError:
                yield None
            else:
                yield self._lock

    def _file(self, name: str) -> Path:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        belong_like(self._database, self._folder)
        return self._folder / hashlib.sha256(name.encode()).hexdigest()[:2]


class _FileNameLock:
    """Nothing but the end of its process takes it away."""

    def __init__(self, writer: Engine) -> None:
        self.write = writer.begin

    def renew(self) -> bool:
        return True
