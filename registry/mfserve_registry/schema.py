"""Brings the tables to the form that this release knows."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import inspect, text

from mfserve_registry import sqlite
from mfserve_registry.database import Database
from mfserve_registry.errors import FailedPrecondition
from mfserve_registry.migrations import HEAD, REVISIONS


def ensure_schema(database: Database, lock: Path, *, migrate: bool) -> None:
    """Migrates where needed, one process at a time.

    Raises:
        FailedPrecondition: REGISTRY_TOO_NEW where a later release of mfserve made the tables; REGISTRY_NOT_MIGRATED
            where they are missing or old and ``migrate`` is False.
    """
    if _is_current(database):
        return
    if not migrate:
        raise FailedPrecondition(
            "The registry's database is empty or of an older release of mfserve, and was opened without migrating it.",
            reason="REGISTRY_NOT_MIGRATED",
        )
    with _exclusive(lock):
        if not _is_current(database):
            _upgrade(database)


def _is_current(database: Database) -> bool:
    revision = _revision(database)
    if revision is not None and revision not in REVISIONS:
        raise FailedPrecondition(
            f"The registry's database has the form {revision}, which this release of mfserve does not know "
            f"(its newest is {HEAD}): a later release has migrated it. Update mfserve here too.",
            reason="REGISTRY_TOO_NEW",
            metadata={"revision": revision},
        )
    return revision == HEAD


def _revision(database: Database) -> str | None:
    with database.read() as connection:
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
