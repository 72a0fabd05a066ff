"""All that is particular to SQLite."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, exc
from sqlalchemy.pool import ConnectionPoolEntry

from mfserve_registry.namelocks import FileNameLocks

BUSY_TIMEOUT_SECONDS = 20.0

_BEGIN = "mfserve_begin"
_FILE = "mfserve_file"


def sqlite_engine(path: Path) -> Engine:
    """An engine on the file ``path``, with transactions begun by ``reading`` or ``writing``.

    synchronous=FULL: a version that was published is still there after a loss of power. A file that is not there is not
    made (``make_file`` does), nor is one used on that has lost its name: a database that is lost must be missed.
    """
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": BUSY_TIMEOUT_SECONDS},
        pool_size=8,
        max_overflow=24,
    )

    @event.listens_for(engine, "do_connect")
    def _make_no_file(_dialect: object, _record: object, args: list[Any], options: dict[str, Any]) -> None:
        args[0] = f"{Path(args[0]).as_uri()}?mode=rw"
        options["uri"] = True

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, record: ConnectionPoolEntry) -> None:
        record.info[_FILE] = _identity(path)
        # The driver would begin transactions late and of the wrong kind: we begin them ourselves.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")

    @event.listens_for(engine, "checkout")
    def _see_that_it_is_still_there(_: object, record: ConnectionPoolEntry, _proxy: object) -> None:
        if record.info[_FILE] != _identity(path):
            raise exc.DisconnectionError

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))

    return engine


def file_of(engine: Engine) -> Path:
    return Path(engine.url.database or "")


def make_file(engine: Engine) -> None:
    """Makes the file, empty, where there is none."""
    file_of(engine).touch()


def is_missing(engine: Engine) -> bool:
    """False too where nobody can tell, as in a folder that may not be entered."""
    try:
        file_of(engine).stat()
    except OSError as error:
        return isinstance(error, FileNotFoundError)
    return False


def reading(engine: Engine) -> Engine:
    """The same engine: every transaction sees one moment."""
    return engine


def writing(engine: Engine) -> Engine:
    """The same engine, taking the write lock when a transaction begins.

    A transaction that reads first and then wants to write could otherwise find that another wrote in between,
    and fail at once instead of waiting its turn.
    """
    return engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})


def name_locks(engine: Engine) -> FileNameLocks:
    """Locks on the names of a store, for the processes that use the engine's file."""
    return FileNameLocks(file_of(engine), writing(engine))


def use_write_ahead_log(engine: Engine) -> None:
    """Turns on WAL, for good: readers never wait for a writer. Must run outside a transaction, by one process."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _identity(path: Path) -> tuple[int, int] | None:
    """Tells a file from another that has its name; it is nobody else's while somebody has it open."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
