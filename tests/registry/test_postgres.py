"""What is particular to PostgreSQL, and what SQLite gives by itself."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, make_url, select

from mfserve_registry import Progress, Registry, impatient, postgres
from mfserve_registry.errors import InvalidArgument, NotFound, RegistryError, Unavailable
from mfserve_registry.tables import alias_events, jobs, models
from tests.backends import Postgres, place_of
from tests.places import Place
from tests.registry.helpers import EPOCH, LEASE, claimed, publish, request, stage
from tests.waiting import eventually


@pytest.fixture
def place(home: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    with place_of("postgres-s3", home, request) as place:
        yield place


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Postgres:
    found: Postgres = request.getfixturevalue("postgres")  # not by its name, which is a module's here
    return found


def together(count: int, *calls: object) -> list[object]:
    """What several threads get that call at one moment."""
    barrier = threading.Barrier(count)

    def run(call: object) -> object:
        barrier.wait()
        assert callable(call)
        return call()

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, calls))


def test_first_versions_of_one_model_at_once(place: Place, registry: Registry) -> None:
    """No row is there yet that could be locked: of model, alias and snapshot there must come to be one each."""
    claims = [claimed(registry, request(f"r{number}", promote_to_alias="best")) for number in range(4)]
    staged = [stage(registry) for _ in claims]
    published = together(
        4,
        *(
            lambda claim=claim, files=files: registry.publish(claim, *files).version
            for claim, files in zip(claims, staged, strict=True)
        ),
    )
    assert sorted(published, key=str) == [1, 2, 3, 4]
    assert registry.aliases.get("movies", "best").revision == 4
    assert registry.aliases.get("movies", "production").revision == 1
    assert place.rows(select(func.count()).select_from(models)) == [(1,)]
    revisions = select(alias_events.c.revision).where(alias_events.c.alias == "best")
    assert place.rows(revisions.order_by(alias_events.c.number)) == [(1,), (2,), (3,), (4,)]


def test_a_new_alias_at_once_has_one_maker(registry: Registry) -> None:
    publish(registry)

    def make() -> str:
        try:
            return f"revision {registry.aliases.set('movies', 'x', 1, expected_revision=0).revision}"
        except RegistryError as error:
            return error.reason

    assert sorted(map(str, together(6, *[make] * 6))) == ["REVISION_MISMATCH"] * 5 + ["revision 1"]


def test_a_cancel_and_a_publication_at_once_agree(registry: Registry) -> None:
    for number in range(6):
        claim = claimed(registry, request(f"r{number}"))
        files = stage(registry)

        def ending(call: object) -> str:
            assert callable(call)
            try:
                call()
            except RegistryError as error:
                return error.reason
            return "done"

        endings = together(
            2,
            lambda claim=claim, files=files: ending(lambda: registry.publish(claim, *files)),
            lambda claim=claim: ending(lambda: registry.jobs.cancel(claim.job_id)),
        )
        job = registry.jobs.get(claim.job_id)
        if job.version is None:
            assert (endings, job.cancel_requested) == (["JOB_CANCELLED", "done"], True)
            registry.jobs.cancelled(claim)
        else:
            assert endings == ["done", "JOB_FINISHED"]


def test_a_reader_sees_one_moment(place: Place, registry: Registry) -> None:
    count = select(func.count()).select_from(jobs)
    with place.database() as database, database.read() as connection:
        assert connection.execute(count).scalar() == 0
        registry.jobs.submit(request())
        assert connection.execute(count).scalar() == 0
    assert place.rows(count) == [(1,)]


def test_a_writer_that_dies_in_mid_transaction_holds_nobody_up(place: Place, registry: Registry) -> None:
    holder = psycopg.connect(_plain(place))
    holder.execute("SELECT pg_advisory_xact_lock(%s)", [postgres.WRITE_LOCK])
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(registry.jobs.submit, request())
        with psycopg.connect(_plain(place), autocommit=True) as other:
            locks = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            eventually(lambda: other.execute(locks).fetchone(), "the writer waits")
            other.execute("SELECT pg_terminate_backend(%s)", [holder.info.backend_pid])
        assert waiting.result()[1]
    holder.close()


def test_a_connection_that_was_lost_is_made_anew(place: Place, registry: Registry) -> None:
    registry.jobs.submit(request())
    with psycopg.connect(_plain(place), autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert len(registry.jobs.list().items) == 1


def test_a_server_that_says_nothing_is_given_up(
    registry: Registry, server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In mid-transaction too, and by whoever waits when the registry is closed."""
    registry.jobs.submit(request())
    monkeypatch.setattr(impatient, "PING_SECONDS", 0.5)
    monkeypatch.setattr(impatient, "SILENCE_SECONDS", 1.0)
    count = select(func.count()).select_from(jobs)

    def ask_twice() -> None:
        with registry._database.read() as connection:
            assert connection.execute(count).scalar() == 1
            with server.silent():
                connection.execute(count)

    for ask in (ask_twice, server.silent()(registry.jobs.list)):
        with pytest.raises(Unavailable):
            ask()
    assert len(registry.jobs.list().items) == 1
    monkeypatch.setattr(impatient, "PING_SECONDS", 600.0)
    with ThreadPoolExecutor(1) as pool, server.silent():
        waiting = pool.submit(registry.jobs.list)
        eventually(waiting.running, "it waits")
        registry.close()
        assert isinstance(waiting.exception(), Unavailable)


def test_texts_keep_no_nul(registry: Registry) -> None:
    publish(registry)
    moved = registry.aliases.set("movies", "x", 1, expected_revision=0, reason="a\0b", actor="\0")
    assert moved.revision == 1
    claim = claimed(registry, request("r2"), worker="w\0")
    registry.jobs.record(claim, [Progress("fit\0")])
    assert registry.jobs.fail(claim, "X", "a\0b", retry=False).error_message == "a\N{REPLACEMENT CHARACTER}b"
    for look in (registry.jobs.get, registry.uploads.get):
        with pytest.raises(NotFound):
            look("\0")


@pytest.mark.parametrize("version", [2**31 - 1, 2**31, 2**63 - 1])
def test_a_version_of_any_number_is_not_found(registry: Registry, version: int) -> None:
    publish(registry)
    with pytest.raises(NotFound) as caught:
        registry.models.resolve("movies", version=version)
    assert caught.value.reason == "VERSION_NOT_FOUND"


def test_names_are_in_the_order_of_their_characters(registry: Registry) -> None:
    names = ["a-b", "a.b", "a0", "a_b", "ab", "b"]
    for number, name in enumerate(reversed(names)):
        publish(registry, f"r{number}", name)
    listed: list[str] = []
    token = ""
    while True:
        page = registry.models.list(page_size=2, page_token=token)
        listed += [model.model for model in page.items]
        if not (token := page.next_page_token):
            break
    assert listed == sorted(names)


def test_moments_are_the_same_in_every_time_zone(place: Place, registry: Registry) -> None:
    registry.jobs.submit(request())
    assert place.database_url is not None
    url = make_url(place.database_url).update_query_dict({"options": "-c timezone=Asia/Kathmandu"})
    abroad = Place(place.home, url.render_as_string(hide_password=False), place.store_url)
    with abroad.open() as other:
        assert other.jobs.list().items[0].created_at == EPOCH
        claim = other.jobs.claim("w", LEASE)
        assert claim is not None


def test_a_database_that_cannot_be_reached_is_unavailable(home: Path) -> None:
    """Nobody listens there, or somebody who never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(Unavailable) as caught:
            Registry.open(home, database_url=f"postgresql://u:pa55word@127.0.0.1:{port}/x?connect_timeout=1")
    assert "pa55word" not in str(caught.value)
    with pytest.raises(Unavailable):
        Registry.open(home, database_url=f"postgresql://u:pa55word@127.0.0.1:{port}/x")


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "mysql://u:pa55word@h/db", "postgresql://u:pa55word@h:port/db", "postgresql+x://h"],
)
def test_a_url_that_names_no_database_is_refused_and_not_repeated(home: Path, url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Registry.open(home, database_url=url)
    assert caught.value.field == "database_url"
    assert "pa55word" not in caught.value.message


def _plain(place: Place) -> str:
    assert place.database_url is not None
    return place.database_url


def test_a_lock_that_has_written_ends_while_another_writes(place: Place) -> None:
    """It only lets go of its locks: to wait for the writer in vain would cost the session."""
    session = select(func.pg_backend_pid())
    with place.database() as one, place.database() as other, ExitStack() as writing:
        with one.lock_shared(["a"]) as lock:
            with lock.write() as connection:
                locked_by = connection.execute(session).scalar_one()
            writing.enter_context(other.write())
        with one.read() as connection:
            assert connection.execute(session).scalar_one() == locked_by
        with one.lock_alone("a") as alone:
            assert alone is not None
