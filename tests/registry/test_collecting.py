"""Collections leave exactly what the database names, and never take it from under a publisher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, select
from sqlalchemy import text as sql

from mfserve_registry import (
    Artifact,
    ArtifactInfo,
    JobRequest,
    Registry,
    Retention,
    ServerInfo,
    ServingLease,
    ServingState,
    filelocks,
)
from mfserve_registry.errors import FailedPrecondition, InvalidArgument, Unavailable
from mfserve_registry.snapshot import verify_snapshot
from mfserve_registry.spec import DatasetSpec, TrainingSpec, UploadedDataset
from mfserve_registry.tables import snapshots
from tests.places import Place
from tests.registry.collecting import AT_ONCE, gone, kept, needed, reasons
from tests.registry.helpers import EPOCH, LEASE, Clock, claimed, publish, request, stage
from tests.waiting import eventually

TTL = timedelta(seconds=10)
DAY = timedelta(days=1)


def text(content: str) -> Artifact:
    return Artifact("a.txt", "text/plain", content.encode())


@pytest.fixture
def movies(registry: Registry) -> Registry:
    """Versions 1 to 5 of movies, 4 the same snapshot as 2, production at 1; each with its own and a common artifact."""
    for number, seed in enumerate((0, 1, 2, 1, 3), 1):
        files = [text(str(number)), Artifact("b.txt", "text/plain", b"b")]
        publish(registry, f"r{number}", seed=seed, artifacts=files)
    return registry


def upload(registry: Registry, request_id: str) -> str:
    with registry.uploads.create(request_id) as writer:
        writer.append(["u"], ["i"], [1.0])
        return writer.commit().upload_id


def die_before_publishing(registry: Registry, seed: int) -> str:
    """Leaves what a publisher does that died just before it named its files; the snapshot's digest."""
    registry.collect()  # claims the store, as a publisher does before it leaves anything there
    staged, digest = stage(registry, seed)
    registry.snapshots.commit(staged, digest)
    registry.artifacts.keep([text(f"orphan {seed}")])
    return digest


def held(registry: Registry, version: int, digest: str, *, streams: int = 0) -> None:
    registry.serving.register(ServerInfo("a", "host", 42, 1, "127.0.0.1:50051", "0.1.0", EPOCH), TTL)
    lease = ServingLease("movies", version, digest, ServingState.AVAILABLE, streams=streams)
    registry.serving.heartbeat("a", [lease], TTL)


def test_exactly_what_the_database_names_is_left(place: Place, movies: Registry) -> None:
    shared, own = (movies.models.get_version("movies", number).digest for number in (2, 5))
    for version in (2, 5):
        movies.models.delete_version("movies", version)
    orphan = die_before_publishing(movies, 9)
    sent = upload(movies, "u1")
    left = kept(place)
    assert {shared, own, orphan, sent} <= left
    collected = movies.collect(AT_ONCE)
    assert kept(place) == needed(movies, sent)
    assert own not in kept(place)
    assert shared in kept(place), "version 4 has the same"
    went = {verdict.name.rpartition("/")[2]: verdict.why for verdict in collected.verdicts}
    assert went.keys() == left - kept(place)
    assert set(went.values()) == {"nothing names it"}
    assert (collected.named, collected.freed_bytes > 1000) == (len(kept(place)), True)
    for version in (1, 3, 4):
        info = movies.models.get_version("movies", version)
        verify_snapshot(movies.snapshots.path(info.digest), info.digest)
        assert movies.artifacts.read("movies", version, "a.txt")[1] == str(version).encode()
    assert gone(movies) == []
    marked = place.rows(select(snapshots.c.digest).where(snapshots.c.collected_at.is_not(None)))
    assert marked == [(own,)]


def test_a_dry_run_tells_what_a_run_does_and_changes_nothing(place: Place, movies: Registry) -> None:
    movies.models.delete_version("movies", 5)
    upload(movies, "u1")
    die_before_publishing(movies, 9)
    everything = Retention(keep_last=1, keep_uploads=timedelta(), named_within=timedelta(), grace=timedelta())
    stored, versions = kept(place), movies.models.list_versions("movies").items
    told = movies.collect(everything, dry_run=True)
    assert (kept(place), movies.models.list_versions("movies").items) == (stored, versions)
    assert told == movies.collect(everything)
    assert [verdict.name for verdict in told.verdicts if verdict.goes][:2] == [
        "movies version 3",
        "movies version 2",
    ]
    assert kept(place) == needed(movies)
    assert [version.version for version in movies.models.list_versions("movies").items] == [4, 1]


def test_what_waits_for_its_grace_is_not_counted_as_named(
    place: Place, clock: Clock, movies: Registry
) -> None:
    """Of a version that is deleted by now, or by this collection, which a dry run tells alike."""
    sent = upload(movies, "u1")
    clock.advance(2 * DAY)
    movies.models.delete_version("movies", 5)
    stored = kept(place)
    # By the store's clock, which is the wall's, all files are young: but for the upload's, none is without a row.
    retention = Retention(keep_last=1, keep_uploads=timedelta(), named_within=timedelta(), grace=DAY)
    told = movies.collect(retention, dry_run=True)
    assert told == movies.collect(retention)
    assert kept(place) == stored
    whys = {verdict.name.rpartition("/")[2]: verdict.why for verdict in told.verdicts if not verdict.goes}
    waiting = {
        name for name, why in whys.items() if why == "its version is deleted, and the grace is not over"
    }
    assert waiting == stored - needed(movies) - {sent}
    assert told.named == len(needed(movies))
    assert waiting <= {name.rpartition("/")[2] for name in gone(movies)}
    assert kept(place) == needed(movies)


def test_nothing_young_goes(place: Place, clock: Clock, movies: Registry) -> None:
    """Files by the store's clock, and what belonged to a version by when that was deleted."""
    movies.models.delete_version("movies", 5)
    orphan = die_before_publishing(movies, 9)
    stored = kept(place)
    assert gone(movies, Retention()) == []
    assert reasons(movies, Retention())[f"snapshots/{orphan}"] == "too young: it may be about to be published"
    assert kept(place) == stored
    short = Retention(grace=timedelta(microseconds=1))
    assert f"snapshots/{orphan}" in gone(movies, short)
    assert kept(place) == needed(movies) | (stored - needed(movies) - {orphan, *orphans(9)})
    clock.advance(timedelta(seconds=1))
    assert len(gone(movies, short)) == 2
    assert kept(place) == needed(movies)


def orphans(seed: int) -> set[str]:
    from hashlib import sha256

    return {sha256(f"orphan {seed}".encode()).hexdigest()}


def test_versions_stay_that_somebody_needs(clock: Clock, movies: Registry) -> None:
    clock.advance(10 * DAY)
    movies.aliases.set("movies", "production", 2, expected_revision=1)
    movies.aliases.set("movies", "production", 3, expected_revision=2)
    clock.advance(10 * DAY)
    publish(movies, "r6", seed=6)
    held(movies, 4, "d" * 64)
    strict = Retention(keep_last=1, named_within=9 * DAY, grace=DAY)
    whys = reasons(movies, strict)
    assert {name: why for name, why in whys.items() if name.startswith("movies")} == {
        "movies version 6": "among the newest",
        "movies version 4": "held by host:42",
        "movies version 3": "named by production",
        "movies version 2": "what a rollback of production brings back",
    }
    longer = reasons(movies, Retention(keep_last=2, named_within=11 * DAY))
    assert longer["movies version 1"] == "named by production lately"
    assert longer["movies version 5"] == "among the newest"
    clock.advance(TTL)
    assert gone(movies, strict) == ["movies version 5", "movies version 4", "movies version 1"]
    digests = movies.models.digests([("movies", number) for number in range(1, 7)])
    assert {number for (_, number), digest in digests.items() if digest is None} == {5, 4, 1}
    assert movies.aliases.roll_back("movies", "production").targets[0].version == 2


def test_a_young_version_stays_however_many_are_kept(clock: Clock, movies: Registry) -> None:
    retention = Retention(keep_last=1, named_within=timedelta())
    assert reasons(movies, retention)["movies version 2"] == "just published"
    clock.advance(DAY)
    assert gone(movies, retention) == [f"movies version {number}" for number in (4, 3, 2)]


def test_the_files_that_a_server_holds_stay_though_their_version_is_deleted(
    place: Place, clock: Clock, movies: Registry
) -> None:
    digest = movies.models.get_version("movies", 5).digest
    held(movies, 5, digest)
    movies.models.delete_version("movies", 5)
    gone(movies)
    assert digest in kept(place)
    clock.advance(TTL)
    assert gone(movies) == [f"snapshots/{digest}"]


def test_uploads_go_when_no_training_has_used_them_for_long(
    place: Place, clock: Clock, registry: Registry
) -> None:
    unused, used, waiting = (upload(registry, f"u{number}") for number in range(3))

    def train(request_id: str, upload_id: str) -> JobRequest:
        dataset = DatasetSpec(source=UploadedDataset(upload_id=upload_id))
        return JobRequest("movies", dataset, TrainingSpec(), None, request_id)

    claim = claimed(registry, train("r1", used))
    registry.jobs.submit(train("r2", waiting))
    assert set(reasons(registry, Retention(keep_uploads=timedelta()))) == {
        f"upload {each}" for each in (unused, used, waiting)
    }, "within the grace"
    clock.advance(10 * DAY)
    retention = Retention(keep_uploads=5 * DAY, grace=timedelta())
    assert reasons(registry, retention) == {
        f"upload {used}": f"job {claim.job_id} trains on it",
        f"upload {waiting}": f"job {registry.jobs.list().items[0].job_id} trains on it",
    }
    again = registry.jobs.claim("w", LEASE)
    assert again is not None
    registry.jobs.fail(again, "X", "x", retry=False)
    assert gone(registry, retention) == [f"upload {unused}", f"uploads/{unused}.parquet"]
    assert kept(place) == {used, waiting}
    assert reasons(registry, retention)[f"upload {used}"] == "came, or was trained on, lately"
    clock.advance(6 * DAY)
    assert gone(registry, retention) == [f"upload {used}", f"uploads/{used}.parquet"]
    assert gone(registry) == []
    assert kept(place) == {waiting}


def test_what_is_not_ours_stays(place: Place, movies: Registry) -> None:
    names = [
        "snapshots/README",
        "snapshots/x/manifest.json",
        "artifacts/ab/note.txt",
        "uploads/x.csv",
        "other/file",
    ]
    for name in names:
        if place.store_url is None:
            (place.home / name).parent.mkdir(parents=True, exist_ok=True)
            (place.home / name).touch()
        place.damage(name, b"somebody else's")
    assert gone(movies) == []
    for name in names:
        kind, _, rest = name.partition("/")
        assert rest in place.stored(kind)


def test_half_of_a_snapshot_goes(place: Place, movies: Registry) -> None:
    orphan = die_before_publishing(movies, 9)
    place.damage(f"snapshots/{orphan}/manifest.json")
    assert f"snapshots/{orphan}" in gone(movies)
    assert kept(place) == needed(movies)


@pytest.mark.parametrize("wrong", [{"keep_last": 0}, {"grace": -DAY}, {"keep_uploads": -DAY}])
def test_a_retention_that_makes_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Retention(**wrong)  # type: ignore[arg-type] # any of its fields
    assert caught.value.field == next(iter(wrong))


def test_what_is_just_being_published_stays(place: Place, registry: Registry) -> None:
    """The publisher finds its files there, left by one that died, and has not named them yet."""
    digest = die_before_publishing(registry, 0)
    claim, files = claimed(registry, request()), [text("orphan 0")]
    commit = registry.snapshots.commit
    told: list[set[str]] = []

    def pause(staged: Path, digest: str) -> None:
        commit(staged, digest)
        verdicts = registry.collect(AT_ONCE).verdicts
        told.append({verdict.why for verdict in verdicts})

    registry.snapshots.commit = pause  # type: ignore[method-assign] # a pause, in this one object
    version = registry.publish(claim, *stage(registry, 0), files)
    assert told == [{"just being published"}]
    assert (version.digest, kept(place)) == (digest, needed(registry))
    assert gone(registry) == []
    verify_snapshot(registry.snapshots.path(digest), digest)


def test_a_publisher_waits_for_a_removal_and_puts_its_files_again(
    place: Place, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = die_before_publishing(registry, 0)
    claim = claimed(registry, request())
    removing, go_on, removed = Event(), Event(), Event()
    remove, keep = registry._store.remove, registry.artifacts.keep

    def slow(name: str, *, last: str | None = None) -> None:
        removing.set()
        assert go_on.wait(30)
        remove(name, last=last)
        removed.set()

    def after_it(files: Sequence[Artifact]) -> Sequence[ArtifactInfo]:
        assert removed.is_set()
        return keep(files)

    registry._store.remove = slow  # type: ignore[method-assign] # a slow disk
    registry.artifacts.keep = after_it  # type: ignore[method-assign] # the first that a publisher does under its lock
    is_waiting = waiting(place, monkeypatch)
    with ThreadPoolExecutor() as pool:
        collected = pool.submit(registry.collect, AT_ONCE)
        assert removing.wait(30)
        published = pool.submit(registry.publish, claim, *stage(registry, 0), [text("orphan 0")])
        eventually(lambda: is_waiting() or published.done(), "the publisher waits")
        go_on.set()
        assert collected.result().freed_bytes > 0
        assert published.result().digest == digest
    assert kept(place) == needed(registry)
    verify_snapshot(registry.snapshots.path(digest), digest)
    assert registry.artifacts.read("movies", 1, "a.txt")[1] == b"orphan 0"


def waiting(place: Place, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bool]:
    """Tells whether somebody has had to wait for a lock since."""
    if place.database_url is not None:
        locks = (
            select(sql("1")).select_from(sql("pg_locks")).where(sql("locktype = 'advisory' AND NOT granted"))
        )
        return lambda: place.rows(locks) != []
    refused, lock = Event(), filelocks._lock

    def looking(*arguments: Any) -> bool:
        free = lock(*arguments)
        if not free:
            refused.set()
        return free

    monkeypatch.setattr(filelocks, "_lock", looking)
    return refused.is_set


@pytest.mark.parametrize("place", ["postgres-s3"], indirect=True)  # an SQLite database has no sessions
@pytest.mark.parametrize("removed", [False, True])
def test_a_publisher_whose_session_breaks_names_nothing_that_is_gone(
    place: Place, registry: Registry, removed: bool
) -> None:
    """Its lock ended with the session. What is still there it publishes all the same."""
    claim = claimed(registry, request())
    commit = registry.snapshots.commit

    def pause(staged: Path, digest: str) -> None:
        commit(staged, digest)
        break_sessions(str(place.database_url))
        if removed:
            with place.open() as other:
                assert gone(other) != []

    registry.snapshots.commit = pause  # type: ignore[method-assign] # a pause, in this one object
    if removed:
        with pytest.raises(Unavailable, match="removed before it could be published"):
            registry.publish(claim, *stage(registry))
        assert registry.models.list().items == []
    else:
        registry.publish(claim, *stage(registry))
        gone(registry)
    assert kept(place) == needed(registry)


def break_sessions(url: str) -> None:
    with psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(False)) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_file_of_an_upload_that_is_gone_before_it_is_known_makes_no_upload(
    place: Place, registry: Registry
) -> None:
    registry.collect()  # claims the store
    put = registry._store.put

    def pause(staged: Path, name: str, *, last: str | None = None) -> None:
        put(staged, name, last=last)
        assert gone(registry) == [name]

    registry._store.put = pause  # type: ignore[method-assign] # a pause, in this one object
    with pytest.raises(Unavailable, match="send it again"):
        upload(registry, "u1")
    registry._store.put = put  # type: ignore[method-assign]
    sent = upload(registry, "u1")
    assert kept(place) == {sent}


def test_locks_on_several_names(place: Place) -> None:
    """One that nobody shares shuts others out, and is not to be had beside any."""
    with place.database() as one, place.database() as two:
        with one.lock_shared(["a", "b"]), two.lock_shared(["b", "c"]), two.lock_alone("a") as lock:
            assert lock is None
        with one.lock_alone("b") as lock, two.lock_alone("b") as second:
            assert lock is not None
            assert second is None
        with two.lock_alone("a") as lock:
            assert lock is not None


def another_on(place: Place, folder: Path) -> Registry:
    """A registry that exists already, and is pointed to the store of this one."""
    Registry.open(folder / "other").close()
    return Registry.open(folder / "other", store_url=place.store_url or place.home.as_uri())


def test_a_store_is_one_databases_alone(place: Place, movies: Registry, tmp_path: Path) -> None:
    """As where a variable is forgotten: neither a collection nor a publisher of another database touches it."""
    before = kept(place)
    with another_on(place, tmp_path) as other:
        for act in (
            lambda: other.collect(Retention(grace=timedelta())),
            lambda: other.collect(Retention(grace=timedelta()), dry_run=True),
            lambda: publish(other, seed=99),
        ):
            with pytest.raises(FailedPrecondition, match="another"):
                act()
    assert kept(place) == before
    movies.collect(Retention(grace=timedelta()))


def test_a_store_without_a_mark_is_anothers_where_nothing_of_it_is_known(
    place: Place, movies: Registry, tmp_path: Path
) -> None:
    place.damage("registry-id")
    with another_on(place, tmp_path) as other:
        for act in (lambda: other.collect(Retention(grace=timedelta())), lambda: publish(other, seed=99)):
            with pytest.raises(FailedPrecondition, match="names nothing of what is in its store"):
                act()
    movies.collect(Retention(grace=timedelta()))
    with another_on(place, tmp_path) as other, pytest.raises(FailedPrecondition, match="another"):
        other.collect()


def test_a_store_whose_snapshots_are_gone_is_anybodys(place: Place, movies: Registry, tmp_path: Path) -> None:
    for name in place.stored("snapshots"):
        place.damage(f"snapshots/{name}")
    with another_on(place, tmp_path) as other:
        assert publish(other).version == 1
    with pytest.raises(FailedPrecondition, match="belongs to another database"):
        movies.collect()


def test_what_is_named_and_missing_is_told(place: Place, movies: Registry) -> None:
    assert movies.collect().missing == ()
    digest = movies.models.get_version("movies", 3).digest
    for name in place.stored(f"snapshots/{digest}"):
        place.damage(f"snapshots/{digest}/{name}")
    assert movies.collect(dry_run=True).missing == (f"snapshots/{digest}",)


def test_a_backup_from_before_it_had_an_id_takes_the_stores(place: Place, movies: Registry) -> None:
    with place.database() as database, database.write() as connection:
        connection.exec_driver_sql("DELETE FROM identity")
    with place.open() as restored:
        assert restored.collect().missing == ()
        assert publish(restored, "r9", seed=9).version == 6
    movies.collect()
