"""Whose files a store has.

A store belongs to one database, for which whatever that does not name is garbage. A variable that is forgotten in a
crontab, or a prefix that staging shares with production, would make a collection remove what another database names.
So the first who publishes leaves the database's id in the store, and whoever publishes or collects must have the same.
"""

from __future__ import annotations

from uuid import uuid4

from sqlalchemy import insert, select

from mfserve_registry.database import Database
from mfserve_registry.errors import FailedPrecondition
from mfserve_registry.snapshot.store import SnapshotStore
from mfserve_registry.store import Store
from mfserve_registry.tables import identity

NAME = "registry-id"


class Ownership:
    """Of one database over one store."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store
        self._sure = False

    def claim(self) -> None:
        """Sees to it that the store is this database's: one that is nobody's, or has no snapshots, becomes it.

        Raises:
            FailedPrecondition: STORAGE_FAILED, it is another database's.
            Unavailable: one of the two does not answer.
            OSError: the disk failed.
        """
        if self._sure:
            return
        self.check()
        ours, theirs = self._ours() or self._new(), self._theirs()
        if theirs != ours:
            if theirs is not None:
                self._store.remove(NAME)
            self._put(ours)
            self.check()
        self._sure = True

    def check(self) -> None:
        """The same without claiming anything."""
        ours, theirs = self._ours(), self._theirs()
        if theirs not in {None, ours} and SnapshotStore(self._store).any():
            raise FailedPrecondition(
                f"The registry's store belongs to another database: {NAME} there is {theirs}, and here it is "
                f"{ours or 'none yet'}. Check the URLs of both; a store cannot be shared.",
                reason="STORAGE_FAILED",
            )

    @property
    def is_marked(self) -> bool:
        """Whether somebody has claimed the store."""
        return self._theirs() is not None

    def _theirs(self) -> str | None:
        try:
            return self._store.read(NAME).decode(errors="replace").strip()
        except FileNotFoundError:
            return None

    def _put(self, ours: str) -> None:
        staged = self._store.stage()
        try:
            with staged.open("x") as file:
                file.write(ours)
            self._store.put(staged, NAME)
        except FileExistsError:  # somebody else was first
            pass
        finally:
            self._store.discard(staged)

    def _ours(self) -> str | None:
        with self._database.read() as connection:
            found: str | None = connection.execute(select(identity.c.registry_id)).scalar()
            return found

    def _new(self) -> str:
        with self._database.write() as connection:
            found: str | None = connection.execute(select(identity.c.registry_id)).scalar()
            if found is None:
                found = uuid4().hex
                connection.execute(insert(identity).values(registry_id=found))
            return found
