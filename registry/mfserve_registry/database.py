"""Transactions on the registry's database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from sqlalchemy import URL, Connection, exc, make_url

from mfserve_registry import postgres, sqlite
from mfserve_registry.errors import InvalidArgument, Unavailable
from mfserve_registry.namelocks import NameLock, NameLocks
from mfserve_registry.outages import outage

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Database:
    """Reads and writes in transactions; safe to share between threads.

    A reader sees one moment throughout its transaction and waits for nobody. Writers run one after the other, on
    whatever machine they are: what a writer has read stays true until it has written.

    Args:
        path: the SQLite file.
        url: an SQLAlchemy URL instead, see ``database_url``.
        clock: what time it is, timezone-aware.
    """

    def __init__(self, path: Path, url: str | None = None, clock: Clock = utc_now) -> None:
        parsed = URL.create("sqlite") if url is None else database_url(url)
        self._closed = Event()
        self._check: Callable[[Connection], None] | None = None
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        if self.is_sqlite:
            self.engine = sqlite.sqlite_engine(Path(parsed.database or path))
        else:
            self.engine = postgres.postgres_engine(parsed, self._closed)
        dialect = sqlite if self.is_sqlite else postgres
        self._reader = dialect.reading(self.engine)
        self._writer = dialect.writing(self.engine)
        self._name_locks: NameLocks = dialect.name_locks(self.engine)
        self.now = clock

    @property
    def name(self) -> str:
        """Tells this database from others. Neither user nor password is in it."""
        return public_url(self.engine.url)

    def make_file(self) -> None:
        """Makes an SQLite file, empty, where there is none. Of PostgreSQL somebody else makes the database."""
        if self.is_sqlite:
            sqlite.make_file(self.engine)

    @property
    def has_file(self) -> bool:
        """False: it is an SQLite file, and it is not there."""
        return not self.is_sqlite or not sqlite.is_missing(self.engine)

    def check_first(self, check: Callable[[Connection], None]) -> None:
        """Has transactions begin with ``check``, until it has passed once."""
        self._check = check

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._unavailable_if_broken(), self._reader.begin() as connection:
            self._pass_check(connection)
            yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        with self._unavailable_if_broken(), self._writer.begin() as connection:
            self._pass_check(connection)
            yield connection

    @contextmanager
    def lock_shared(self, names: Collection[str]) -> Iterator[NameLock]:
        """A lock on names of the store, for who puts what has them and then names it; see ``namelocks``."""
        with self._unavailable_if_broken(), self._name_locks.shared(names) as lock:
            yield lock

    @contextmanager
    def lock_alone(self, name: str) -> Iterator[NameLock | None]:
        """A lock on a name of the store, for who removes what has it; None where somebody else has one."""
        with self._unavailable_if_broken(), self._name_locks.alone(name) as lock:
            yield lock

    def close(self) -> None:
        """Whoever still waits for the database gets Unavailable."""
        self._closed.set()
        self.engine.dispose()

    @contextmanager
    def _unavailable_if_broken(self) -> Iterator[None]:
        try:
            yield
        except (exc.DBAPIError, exc.TimeoutError) as error:
            if (why := outage(error, has_file=self.has_file)) is not None:
                raise Unavailable(why) from error
            raise

    def _pass_check(self, connection: Connection) -> None:
        if (check := self._check) is not None:
            check(connection)
            self._check = None


def database_url(text: str) -> URL:
    """The URL of a database that can be used: ``postgresql://…`` (by psycopg) or ``sqlite:///…``.

    Raises:
        InvalidArgument: it is none. The message does not repeat it: there may be a password in it.
    """
    try:
        url = make_url(text)
    except (exc.ArgumentError, ValueError):  # ValueError: a port that is no number
        url = None
    if url is not None and url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url is None or url.drivername not in ("postgresql+psycopg", "sqlite"):
        raise InvalidArgument(
            "The database's URL must look like postgresql://user@host/name or sqlite:////folder/file.db.",
            field="database_url",
        )
    return url


def public_url(url: URL) -> str:
    """The URL without user, password and whatever else does not tell the database from others."""
    where = {key: value for key, value in url.query.items() if key in {"host", "port"}}
    place = URL.create(url.drivername, host=url.host, port=url.port, database=url.database, query=where)
    return place.render_as_string()


def name_in(home: Path, name: str) -> str:
    """A database's name as its home tells it from others: a file in the home keeps it where the home is moved."""
    url, home = make_url(name), home.absolute()
    file = Path(url.database or "")
    if url.get_backend_name() != "sqlite" or not file.is_relative_to(home):
        return name
    return f"{file.relative_to(home)} in this home"
