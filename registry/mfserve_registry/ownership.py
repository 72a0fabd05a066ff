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
from mfserve_registry.store import Store
from mfserve_registry.store.durable import write_durably
from mfserve_registry.tables import identity, snapshots

NAME = "registry-id"
_KINDS = ("snapshots", "artifacts", "uploads")


class Ownership:
    """Of one database over one store."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store
        self._sure = False

    def check(self) -> None:
        """Changes nothing.

        A store without a mark is of an earlier release, and so may a database without an id be, such as one from an old
        backup: they belong together where the database knows some of the snapshots.

        Raises:
            FailedPrecondition: STORAGE_FAILED, the store is another database's.
            Unavailable: one of the two does not answer.
        """
        ours, theirs = self._ours(), self._theirs()
        if theirs is not None and theirs == ours:
            return
        if theirs is not None and ours is not None:
            if self._holds_something():
                raise self._refusal(theirs)
        elif (there := self._snapshots()) and not there & self._known():
            raise FailedPrecondition(
                "The registry's database names nothing of what is in its store: this seems to be another's. Check "
                "the URLs of both.",
                reason="STORAGE_FAILED",
            )

    def claim(self) -> None:
        """Sees to it that the store is this database's: one that is nobody's, or has nothing in it, becomes it.

        Raises:
            FailedPrecondition, Unavailable: as above.
            OSError: the disk failed.
        """
        if self._sure:
            return
        self.check()
        theirs = self._theirs()
        ours = self._ours() or self._take_id(
            theirs if theirs is not None and self._snapshots() else uuid4().hex
        )
        if theirs != ours:
            if theirs is not None:
                self._store.remove(NAME)
            self._put(ours)
        self.require()
        self._sure = True

    def require(self) -> None:
        """The same after a claim, and once something has been put: from then on nobody else can claim the store."""
        theirs = self._theirs()
        if theirs != self._ours():
            raise self._refusal(theirs)

    def _refusal(self, theirs: str | None) -> FailedPrecondition:
        return FailedPrecondition(
            f"The registry's store belongs to another database: {NAME} there is {theirs}, and here it is "
            f"{self._ours()}. Check the URLs of both; a store cannot be shared.",
            reason="STORAGE_FAILED",
        )

    def _holds_something(self) -> bool:
        return any(next(self._store.files(kind), None) is not None for kind in _KINDS)

    def _snapshots(self) -> set[str]:
        """Digests of those in the store."""
        return {file.path.split("/")[1] for file in self._store.files("snapshots")}

    def _known(self) -> set[str]:
        """Digests of those that this database has ever named."""
        with self._database.read() as connection:
            return set(connection.execute(select(snapshots.c.digest)).scalars())

    def _theirs(self) -> str | None:
        try:
            return self._store.read(NAME).decode(errors="replace").strip() or None
        except FileNotFoundError:
            return None

    def _put(self, ours: str) -> None:
        staged = self._store.stage()
        try:
            write_durably(staged, ours.encode())
            self._store.put(staged, NAME)
        except FileExistsError:  # somebody else was first
            pass
        finally:
            self._store.discard(staged)

    def _ours(self) -> str | None:
        with self._database.read() as connection:
            found: str | None = connection.execute(select(identity.c.registry_id)).scalar()
            return found

    def _take_id(self, new: str) -> str:
        with self._database.write() as connection:
            found: str | None = connection.execute(select(identity.c.registry_id)).scalar()
            if found is None:
                connection.execute(insert(identity).values(registry_id=new))
            return found or new
