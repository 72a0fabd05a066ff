"""Brings the tables to the form that this release knows."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from mfserve_registry import sqlite
from mfserve_registry.database import Database
from mfserve_registry.errors import FailedPrecondition, Unavailable
from mfserve_registry.migrations import HEAD, REVISIONS


def ensure_schema(database: Database, lock: Path, has_lost: Callable[[], bool]) -> None:
    """Migrates where needed, one process at a time.

    Args:
        has_lost: whether a database without tables cannot be a new one, as what it named is there.

    Raises:
        FailedPrecondition: REGISTRY_TOO_NEW where a later release of mfserve made the tables.
        Unavailable: there are no tables, or no file, and there must have been.
    """
    if _found(database) == HEAD:
        return
    with _exclusive(lock):
        found = _found(database)
        if found is None:
            if has_lost():
                raise Unavailable(
                    "The registry's database is missing or empty, but there are snapshots in its store. Check the "
                    "URLs of both. Restore it from a backup; or, to begin anew, move its store's snapshots away."
                )
            database.make_file()
        if found != HEAD:
            _upgrade(database)


def require_schema(connection: Connection) -> None:
    """FailedPrecondition: REGISTRY_TOO_NEW as from ``ensure_schema``; REGISTRY_NOT_MIGRATED, older or none."""
    if _known_revision(connection) != HEAD:
        raise FailedPrecondition(
            "The registry's database is empty or of an older release of mfserve, and was opened without migrating it.",
            reason="REGISTRY_NOT_MIGRATED",
        )


def _found(database: Database) -> str | None:
    if not database.has_file:
        return None
    with database.read() as connection:
        return _known_revision(connection)


def _known_revision(connection: Connection) -> str | None:
    revision = _revision(connection)
    if revision is not None and revision not in REVISIONS:
        raise FailedPrecondition(
            f"The registry's database has the form {revision}, which this release of mfserve does not know "
            f"(its newest is {HEAD}): a later release has migrated it. Update mfserve here too.",
            reason="REGISTRY_TOO_NEW",
            metadata={"revision": revision},
        )
    return revision


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(database: Database) -> None:
    # Imported here: 0.1 s that only a migration pays.
    from alembic import command
    from alembic.config import Config

    if database.is_sqlite:
        sqlite.use_write_ahead_log(database.engine)
    config = Config()
    config.set_main_option("script_location", "mfserve_registry:migrations")
    with database.write() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _exclusive(lock: Path) -> Iterator[None]:
    """Holds the file's lock; the system lets go of it when the process dies."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
