"""Transactions on the registry's database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, create_engine, exc, make_url

from mfserve_registry import sqlite
from mfserve_registry.errors import Unavailable

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """Reads and writes in transactions; safe to share between threads.

    A reader sees one moment throughout its transaction. Writers to SQLite run one after the other; code that must
    also be right on PostgreSQL locks the rows that it decides on (``with_for_update``, a no-op on SQLite).

    Args:
        path: the SQLite file.
        url: an SQLAlchemy URL instead, such as ``postgresql+psycopg://…``.
        clock: what time it is, timezone-aware.
    """

    def __init__(self, path: Path, url: str | None = None, clock: Clock = utc_now) -> None:
        if url is None:
            self.engine = sqlite.sqlite_engine(path)
        elif (parsed := make_url(url)).get_backend_name() == "sqlite":
            self.engine = sqlite.sqlite_engine(Path(parsed.database or path))
        else:
            self.engine = create_engine(parsed, pool_pre_ping=True)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._writer = sqlite.writing(self.engine) if self.is_sqlite else self.engine
        self.now = clock

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with _unavailable_if_broken(), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with _unavailable_if_broken(), self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        self.engine.dispose()


@contextmanager
def _unavailable_if_broken() -> Iterator[None]:
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise Unavailable("The registry's database does not answer; try again.") from error
