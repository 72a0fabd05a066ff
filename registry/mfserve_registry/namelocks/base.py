"""What a lock on names is."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import Protocol

from sqlalchemy import Connection

PATIENCE_SECONDS = 10.0
"""How long a publisher waits for whoever is just removing the same."""


class NameLock(Protocol):
    """A lock that is held."""

    def renew(self) -> bool:
        """Makes sure of it. False: it was lost in the meantime and is held anew."""

    def write(self) -> AbstractContextManager[Connection]:
        """A transaction that writes, and commits only where the lock is still held."""


class NameLocks(Protocol):
    """The locks on the store's names that a database gives."""

    def shared(self, names: Collection[str]) -> AbstractContextManager[NameLock]:
        """A lock that others may share; waits for whoever has one alone, but not for ever."""

    def alone(self, name: str) -> AbstractContextManager[NameLock | None]:
        """A lock that nobody shares; None where somebody else has one."""
