"""Servers whose database and bucket are away: when they start, while they answer, and when they end."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import psutil
import pytest

from mfserve import AsyncClient, Client
from mfserve.errors import DeadlineExceededError, NotFoundError, UnavailableError
from mfserve.types import RegistryContact
from mfserve_registry import Registry
from tests.backends import Postgres, bucket, place_of, postgres
from tests.integration.service import RunningService, running_service
from tests.places import Place
from tests.server.samples import PICTURE, publish
from tests.waiting import eventually

__all__ = ["bucket", "postgres"]

NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """A registry on PostgreSQL and S3, as a server's machine sees it."""
    with place_of("postgres-s3", tmp_path / "server", request) as place:
        yield place


@pytest.fixture
def environment(place: Place) -> dict[str, str]:
    return {"MFSERVE_DATABASE_URL": str(place.database_url), "MFSERVE_STORE_URL": str(place.store_url)}


def contact(service: RunningService) -> RegistryContact:
    with Client(service.address) as client:
        return client.serving_status().registry


def refusals(client: Client) -> set[tuple[str, float | None]]:
    """What is said to calls that need the database."""
    calls: list[Callable[[], object]] = [
        lambda: client.get_job("job"),
        lambda: client.train("movies", dataset="movielens-100k"),
        lambda: client.set_alias("movies", "production", 2, expected_revision=1),
        lambda: client.recommend("movies", "u1", version=7),
        lambda: client.get_artifact("movies", PICTURE.name),
        lambda: client.upload_dataset({"user_id": ["u1"], "item_id": ["i1"], "rating": [4.0]}),
    ]

    def refused(call: Callable[[], object]) -> tuple[str, float | None]:
        with pytest.raises(UnavailableError) as caught:
            call()
        return caught.value.reason, caught.value.retry_seconds

    with ThreadPoolExecutor(len(calls)) as pool:  # as each is tried again for a while
        return set(pool.map(refused, calls))


def pids(service: RunningService) -> list[int]:
    """Of the server processes that there are now."""
    return [child.pid for child in psutil.Process(service.process.pid).children()]


def test_a_start_with_database_and_bucket_away(
    place: Place, environment: dict[str, str], postgres: Postgres, tmp_path: Path
) -> None:
    with place.seen_from(tmp_path / "trainer").open() as registry:
        for seed in (1, 2):
            publish(registry, seed=seed)
        digest = publish(registry, "songs", seed=3).digest
    with (
        running_service(place.home, "--no-trainer", **environment) as service,
        Client(service.address) as client,
    ):
        before = client.recommend("movies", "u1", limit=5)
        client.recommend("movies", "u1", version=2)  # so that there is a copy
        assert contact(service).lost_time is None
    damaged = place.home / "cache" / "copies" / "snapshots" / digest / "rating_user_factors.npy"
    damaged.write_bytes(damaged.read_bytes()[:-4] + b"nope")

    # The bucket stays away to the end.
    environment["AWS_ENDPOINT_URL"] = NOBODY
    with ExitStack() as stack:
        with postgres.stopped():
            service = stack.enter_context(running_service(place.home, "--no-trainer", **environment))
            client = stack.enter_context(Client(service.address))
            assert client.recommend("movies", "u1", limit=5) == before
            with pytest.raises(UnavailableError):
                client.recommend("songs", "u1")
            assert refusals(client) == {("UNAVAILABLE", 1.0)}
            told = contact(service)
            assert told.message == "The registry's database does not answer; try again."
            assert told.lost_time is not None
            assert told.read_time is not None
            assert told.read_time < told.lost_time
            service.process.send_signal(signal.SIGHUP)
            eventually(
                lambda: "has replaced its server processes" in (place.home / "service.log").read_text(),
                "another server process has taken the place",
            )
            assert client.recommend("movies", "u1", limit=5) == before
        with place.seen_from(tmp_path / "trainer").open() as registry:
            registry.aliases.set("movies", "production", 2, expected_revision=1)
            eventually(
                lambda: client.recommend("movies", "u1").served_version.version == 2, "the alias is followed"
            )
            eventually(
                lambda: [status.server.pid for status in registry.serving.list()] == pids(service),
                "the server is registered",
            )
        assert contact(service).lost_time is None


def test_a_database_that_says_nothing(
    place: Place, environment: dict[str, str], postgres: Postgres, tmp_path: Path
) -> None:
    with place.seen_from(tmp_path / "trainer").open() as registry, ExitStack() as silence:
        for seed in (1, 2):
            publish(registry, seed=seed)
        with (
            running_service(place.home, "--no-trainer", **environment) as service,
            Client(service.address) as client,
        ):
            before = client.recommend("movies", "u1")
            worker = psutil.Process(service.workers[0])
            with postgres.silent():
                assert asyncio.run(_many_at_once(service.address)) == [("UNAVAILABLE", 1.0)] * 60
                eventually(lambda: contact(service).lost_time, "the server has noticed")
                threads = worker.num_threads()
                assert refusals(client) == {("UNAVAILABLE", 1.0)}
                assert client.recommend("movies", "u1") == before
                assert worker.num_threads() <= threads
            registry.aliases.set("movies", "production", 2, expected_revision=1)
            eventually(
                lambda: client.recommend("movies", "u1").served_version.version == 2, "the alias is followed"
            )
            eventually(lambda: contact(service).lost_time is None, "the registry is found again")
            assert client.get_model("movies").latest_version == 2
            silence.enter_context(postgres.silent())
        assert "kills what has not ended" not in (place.home / "service.log").read_text()


async def _many_at_once(address: str) -> list[tuple[str, float | None]]:
    """How so many calls at once are refused."""
    async with AsyncClient(address) as client:
        calls = (client.get_job(f"job-{number}") for number in range(60))
        refused = await asyncio.gather(*calls, return_exceptions=True)
    return [(error.reason, error.retry_seconds) for error in refused if isinstance(error, UnavailableError)]


def test_a_database_that_comes_back_otherwise(tmp_path: Path) -> None:
    """Made by a later release, then emptied: what answers goes on, and it is told why nothing else does.

    Nobody takes the empty one for a new one while there are snapshots.
    """
    home, folder = tmp_path / "home", tmp_path / "disk"
    folder.mkdir()
    environment = {"MFSERVE_DATABASE_URL": f"sqlite:///{folder / 'registry.db'}"}
    with Registry.open(home, database_url=environment["MFSERVE_DATABASE_URL"]) as registry:
        publish(registry)
    with (
        running_service(home, "--no-trainer", **environment) as service,
        Client(service.address) as client,
    ):
        before = client.recommend("movies", "u1")
    away = folder.rename(tmp_path / "away")
    with (
        running_service(home, "--no-trainer", **environment) as service,
        Client(service.address) as client,
    ):
        assert client.recommend("movies", "u1") == before
        with closing(sqlite3.connect(away / "registry.db")) as database:
            database.execute("UPDATE alembic_version SET version_num = '9999'")
            database.commit()
            away.rename(folder)
            eventually(lambda: "later release" in contact(service).message, "the server says why")
            with pytest.raises(UnavailableError, match="form 9999"):
                client.get_model("movies")
            log = service.home / "service.log"
            eventually(lambda: "the registry cannot be opened" in log.read_text(), "the parent says why")
            assert client.recommend("movies", "u1") == before

            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            database.executescript(
                "BEGIN IMMEDIATE;"
                + "".join(f"DROP TABLE {table};" for (table,) in tables if not table.startswith("sqlite_"))
                + "COMMIT;"
            )
        eventually(lambda: "missing or empty" in log.read_text(), "the parent says that it was lost")
        assert client.recommend("movies", "u1") == before
        # Nor does a new process let go of what the old one had.
        os.kill(service.workers[0], signal.SIGKILL)
        eventually(lambda: _recommended(client) == before, "another process answers")
        assert contact(service).lost_time is not None

        (home / "snapshots").rename(tmp_path / "snapshots")
        eventually(lambda: contact(service).lost_time is None, "the empty database is made ready")
        with pytest.raises(NotFoundError):
            client.get_model("movies")
        assert client.recommend("movies", "u1") == before


def _recommended(client: Client) -> object:
    try:
        return client.recommend("movies", "u1")
    except (UnavailableError, DeadlineExceededError):
        return None
