"""What keeps a registry's database from being used, in words for whoever is to mend it.

The database's own text goes to nobody: paths and statements may be in it.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import exc

_FULL = "The disk of the registry's database is full; make room and try again."
_READ_ONLY = (
    "The registry's database is read-only; make it writable, of SQLite its folder too, and try again."
)
_DAMAGED = "The registry's database is damaged or no database; restore it from a backup."
_INCOMPLETE = "The registry's database lacks tables of the registry; restore it from a backup."
_MISSING = "The file of the registry's database is missing; put it back, or restore it from a backup."
_UNOPENED = (
    "The file of the registry's database is there and cannot be opened: its file system may be read-only, or it or its "
    "folder not this user's to write; mend that and try again."
)
_SILENT = "The registry's database does not answer; try again."

_CODES: dict[object, str] = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: _UNOPENED,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    # PostgreSQL's, by their names there.
    "53100": _FULL,  # disk_full
    "25006": _READ_ONLY,  # read_only_sql_transaction
    "XX001": _DAMAGED,  # data_corrupted
    "XX002": _DAMAGED,  # index_corrupted
    "42P01": _INCOMPLETE,  # undefined_table
    "42703": _INCOMPLETE,  # undefined_column
}


def outage(error: exc.SQLAlchemyError, *, has_file: bool) -> str | None:
    """One sentence, or None where the database is well and refuses what it was asked.

    Args:
        error: what was raised.
        has_file: False: the database is a file, and that is missing. SQLite says the same of one that is there, and
            beside which it cannot make its others.
    """
    said = getattr(error, "orig", None)
    if isinstance(said, sqlite3.Error):
        if str(said).startswith("no such table"):  # which has no code of its own
            return _INCOMPLETE
        code: object = getattr(said, "sqlite_errorcode", 0) & 0xFF  # without the detail in the higher bits
    else:
        code = getattr(said, "sqlstate", None)
    if code == sqlite3.SQLITE_CANTOPEN and not has_file:
        return _MISSING
    if code in _CODES:
        return _CODES[code]
    away = isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError)
    # Drivers have the class itself, and none below it, for what they did not understand.
    return _SILENT if away or type(error) is exc.DatabaseError else None
