"""All that is particular to SQLite."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event

from mfserve_registry.claims import FileClaims

BUSY_TIMEOUT_SECONDS = 20.0

_BEGIN = "mfserve_begin"


def sqlite_engine(path: Path) -> Engine:
    """An engine on the file ``path``, with transactions begun by ``reading`` or ``writing``.

    synchronous=FULL: a version that was published is still there after a loss of power.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS},
        pool_size=8,
        max_overflow=24,
    )

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _: object) -> None:
        # The driver would begin transactions late and of the wrong kind: we begin them ourselves.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    return engine


def reading(engine: Engine) -> Engine:
    """The same engine: every transaction sees one moment."""
    return engine


def writing(engine: Engine) -> Engine:
    """The same engine, taking the write lock when a transaction begins.

    A transaction that reads first and then wants to write could otherwise find that another wrote in between,
    and fail at once instead of waiting its turn.
    """
    return engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})


def claims(engine: Engine) -> FileClaims:
    """Claims on the names of a store, for the processes that use the engine's file."""
    return FileClaims(Path(engine.url.database or ""), writing(engine))


def use_write_ahead_log(engine: Engine) -> None:
    """Turns on WAL, for good: readers never wait for a writer. Must run outside a transaction, by one process."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()
