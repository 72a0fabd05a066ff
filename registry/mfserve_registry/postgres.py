"""All that is particular to PostgreSQL."""

from __future__ import annotations

from threading import Event
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from mfserve_registry.namelocks import SessionNameLocks

# Whoever waits for the database should hear soon that it does not answer, and not when the network gives up.
_PATIENCE = {
    "connect_timeout": 3,  # seconds
    "tcp_user_timeout": 8_000,  # milliseconds until sent data that nobody acknowledges breaks the connection
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
_POOL_TIMEOUT_SECONDS = 5.0

# A process that was stopped in mid-transaction loses it, and the write lock with it.
_SESSION = "-c lock_timeout=10s -c statement_timeout=20s -c idle_in_transaction_session_timeout=20s"

WRITE_LOCK = 0x6D667365727665
"""Key of the advisory lock of all writers; any number, as long as it stays the same. It is of one database."""

_WRITES = "mfserve_writes"


def postgres_engine(url: URL, closed: Event) -> Engine:
    """An engine on the database ``url``, with transactions begun by ``reading`` or ``writing``.

    Args:
        closed: once it is set, whoever waits for an answer gives up.
    """
    # Imported here: who uses SQLite does not wait for it.
    from mfserve_registry.impatient import Impatient

    arguments: dict[str, str | int] = {
        name: value for name, value in _PATIENCE.items() if name not in url.query
    }
    if "options" not in url.query:
        arguments["options"] = _SESSION
    engine = create_engine(
        url,
        connect_args=arguments,
        pool_size=8,
        max_overflow=24,
        pool_timeout=_POOL_TIMEOUT_SECONDS,
        pool_pre_ping=True,
    )

    @event.listens_for(engine, "do_connect")
    def _connect(_: object, __: object, arguments: list[Any], options: dict[str, Any]) -> Impatient:
        connection = Impatient.connect(*arguments, **options)
        connection.given_up = closed
        return connection

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get(_WRITES):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({WRITE_LOCK})")

    return engine


def reading(engine: Engine) -> Engine:
    """The same engine, for transactions that see one moment."""
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def writing(engine: Engine) -> Engine:
    """The same engine, taking the write lock when a transaction begins.

    One writer at a time, as on SQLite: what a writer has read stays true until it has written, whatever rows that
    takes and also where there was no row yet to be locked. Nothing can deadlock or has to be tried again.
    """
    return engine.execution_options(**{_WRITES: True})


def name_locks(engine: Engine) -> SessionNameLocks:
    """Locks on the names of a store, for all who use the engine's database."""
    return SessionNameLocks(engine, writing(engine))
