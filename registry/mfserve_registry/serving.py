"""Who serves what: each server process tells, and is forgotten when it stops telling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sqlalchemy import Connection, delete, insert, select, update

from mfserve_registry.database import Database
from mfserve_registry.errors import NotFound
from mfserve_registry.tables import servers, serving_leases

# How long after its time a silent server's row is kept, so that one that was only paused finds it again.
_FORGOTTEN_AFTER = timedelta(hours=1)


class ServingState(StrEnum):
    """The state of a version in a server process."""

    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """One server process.

    Attributes:
        server_id: chosen by the process at its start, at most 64 characters; no two processes share one.
        host: name of its machine.
        pid: its process id there.
        worker: its place among the processes on one port, from 0.
        address: where it listens, such as ``0.0.0.0:50051``.
        release: the release of mfserve that it runs.
        started_at: when it started.
    """

    server_id: str
    host: str
    pid: int
    worker: int
    address: str
    release: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class ServingLease:
    """A version that a server process holds, or could not load.

    Attributes:
        model, version, digest: the version.
        state: whether it answers.
        reason: why it FAILED, a name such as SNAPSHOT_DAMAGED; "" otherwise.
        message: the same as a sentence.
        aliases: names of the aliases for which the process answers from it.
        streams: streams under way that only this version may answer.
    """

    model: str
    version: int
    digest: str
    state: ServingState
    reason: str = ""
    message: str = ""
    aliases: tuple[str, ...] = ()
    streams: int = 0


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A live server process and what it holds.

    Attributes:
        server: the process.
        heartbeat_at: when it was last heard of.
        expires_at: when it counts as gone unless it is heard of again.
        leases: what it holds, by model and version.
    """

    server: ServerInfo
    heartbeat_at: datetime
    expires_at: datetime
    leases: tuple[ServingLease, ...]


class Serving:
    """Leases of server processes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, server: ServerInfo, ttl: timedelta) -> None:
        """Announces a server process for ``ttl``; one of the same id is replaced, long silent ones are forgotten."""
        with self._database.write() as connection:
            now = self._database.now()
            _forget(connection, server.server_id)
            for silent in connection.execute(
                select(servers.c.server_id).where(servers.c.expires_at < now - _FORGOTTEN_AFTER)
            ).all():
                _forget(connection, silent.server_id)
            connection.execute(
                insert(servers).values(
                    server_id=server.server_id,
                    host=server.host,
                    pid=server.pid,
                    worker=server.worker,
                    address=server.address,
                    release=server.release,
                    started_at=server.started_at,
                    heartbeat_at=now,
                    expires_at=now + ttl,
                )
            )

    def heartbeat(self, server_id: str, leases: Sequence[ServingLease], ttl: timedelta) -> None:
        """Replaces what the process holds, and keeps it announced for ``ttl`` from now.

        Raises:
            NotFound: SERVER_NOT_FOUND, it was silent so long that it was forgotten: register again.
        """
        with self._database.write() as connection:
            now = self._database.now()
            known = connection.execute(
                update(servers)
                .where(servers.c.server_id == server_id)
                .values(heartbeat_at=now, expires_at=now + ttl)
            )
            if known.rowcount == 0:
                raise NotFound(
                    "The server process is not registered.",
                    reason="SERVER_NOT_FOUND",
                    metadata={"server_id": server_id},
                )
            connection.execute(delete(serving_leases).where(serving_leases.c.server_id == server_id))
            if leases:
                connection.execute(
                    insert(serving_leases),
                    [
                        {
                            "server_id": server_id,
                            "model": lease.model,
                            "version": lease.version,
                            "digest": lease.digest,
                            "state": lease.state,
                            "reason": lease.reason,
                            "message": lease.message,
                            "aliases": list(lease.aliases),
                            "streams": lease.streams,
                        }
                        for lease in leases
                    ],
                )

    def unregister(self, server_id: str) -> None:
        """Takes a process out, with all that it held; one that is not there is fine."""
        with self._database.write() as connection:
            _forget(connection, server_id)

    def list(self) -> Sequence[ServerStatus]:
        """The live server processes, by start and id."""
        query = (
            select(servers)
            .where(servers.c.expires_at > self._database.now())
            .order_by(servers.c.started_at, servers.c.server_id)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            held = connection.execute(
                select(serving_leases).order_by(serving_leases.c.model, serving_leases.c.version)
            ).all()
        leases: dict[str, list[ServingLease]] = {}
        for row in held:
            leases.setdefault(row.server_id, []).append(
                ServingLease(
                    row.model,
                    row.version,
                    row.digest,
                    ServingState(row.state),
                    row.reason,
                    row.message,
                    tuple(row.aliases),
                    row.streams,
                )
            )
        return [
            ServerStatus(
                ServerInfo(
                    row.server_id, row.host, row.pid, row.worker, row.address, row.release, row.started_at
                ),
                row.heartbeat_at,
                row.expires_at,
                tuple(leases.get(row.server_id, ())),
            )
            for row in rows
        ]


def _forget(connection: Connection, server_id: str) -> None:
    connection.execute(delete(serving_leases).where(serving_leases.c.server_id == server_id))
    connection.execute(delete(servers).where(servers.c.server_id == server_id))
