"""Locks on names by advisory locks of PostgreSQL: they end with the session, on whatever machine its process was.

What a lock is for is written in the very session that holds it: where that was broken, nothing is committed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine, exc, func, select

from mfserve_registry.namelocks.base import NameLock


class SessionNameLocks:
    """Each lock takes one of the engine's connections."""

    def __init__(self, engine: Engine, writer: Engine) -> None:
        self._engine = engine
        self._writing = writer.get_execution_options()

    @contextmanager
    def shared(self, names: Collection[str]) -> Iterator[NameLock]:
        with self._engine.connect() as connection:
            lock = _SessionNameLock(connection, {_key(name) for name in names}, self._writing)
            try:
                lock.take()
                yield lock
            finally:
                lock.end()

    @contextmanager
    def alone(self, name: str) -> Iterator[NameLock | None]:
        with self._engine.connect() as connection:
            lock = _SessionNameLock(connection, {_key(name)}, self._writing)
            try:
                yield lock if lock.try_alone() else None
            finally:
                lock.end()


class _SessionNameLock:
    def __init__(self, connection: Connection, keys: Collection[int], writing: Any) -> None:
        self._connection = connection
        self._keys = keys
        self._writing = writing

    def take(self) -> None:
        with self._connection.begin():
            for key in self._keys:
                self._connection.execute(select(func.pg_advisory_lock_shared(key)))

    def try_alone(self) -> bool:
        with self._connection.begin():
            return all(
                self._connection.execute(select(func.pg_try_advisory_lock(key))).scalar_one()
                for key in self._keys
            )

    def renew(self) -> bool:
        try:
            with self._connection.begin():
                self._connection.execute(select(1))
        except exc.OperationalError:
            self.take()  # in a new session: the old one's connection is no more
            return False
        return True

    @contextmanager
    def write(self) -> Iterator[Connection]:
        self._connection.execution_options(**self._writing)
        try:
            with self._connection.begin():
                yield self._connection
        finally:  # what comes after it writes nothing, and is not to wait for other writers
            self._connection.execution_options(**dict.fromkeys(self._writing))

    def end(self) -> None:
        """They are the session's: back in the pool, the connection would keep them."""
        try:
            with self._connection.begin():
                self._connection.execute(select(func.pg_advisory_unlock_all()))
        except exc.SQLAlchemyError:
            self._connection.invalidate()


def _key(name: str) -> int:
    """Of 64 bits, signed. Names that share one share a lock, which does no harm."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)
