"""Copies of what a bucket keeps: bounded, whole, made once, and still there after a restart."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import obstore
import pyarrow.parquet as pq
import pytest
from obstore.store import S3Store

from mfserve_registry import Registry
from mfserve_registry.errors import DamagedSnapshot, InvalidArgument, Unavailable
from mfserve_registry.snapshot import Snapshot, verify_snapshot
from mfserve_registry.store import bucket as store_bucket
from mfserve_registry.store import cache, check_store_url
from tests.backends import place_of
from tests.places import Place
from tests.registry.collecting import AT_ONCE, kept
from tests.registry.helpers import publish, run_together, stage

SECRET = "a-secret-of-the-tests"


@pytest.fixture
def place(home: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    with place_of("postgres-s3", home, request) as place:
        yield place


@pytest.fixture
def other(place: Place) -> Place:
    """The same registry, as another machine sees it."""
    return place.seen_from(place.home.with_name("other"))


def digests(registry: Registry, count: int) -> list[str]:
    return [publish(registry, f"r{seed}", seed=seed).digest for seed in range(count)]


def copies(place: Place) -> set[str]:
    return {path.name for path in (place.home / "cache" / "copies" / "snapshots").glob("*")}


def size_of(place: Place, digest: str) -> int:
    return sum(path.stat().st_size for path in (place.home / f"cache/copies/snapshots/{digest}").iterdir())


def test_another_machine_reads_what_one_has_published(registry: Registry, other: Place) -> None:
    [digest] = digests(registry, 1)
    with other.open() as there, there.snapshots.hold(digest) as held:
        assert held.path.is_relative_to(other.home)
        assert Snapshot.open(held.path, digest).digest == digest
        assert there.snapshots.manifest(digest) == (held.path / "manifest.json").read_bytes()


def test_a_copy_outlives_a_restart_and_the_bucket(registry: Registry, place: Place, other: Place) -> None:
    [digest] = digests(registry, 1)
    with other.open() as there:
        inode = there.snapshots.path(digest).stat().st_ino
    for name in place.stored("snapshots"):
        place.damage(f"snapshots/{name}")
    with other.open() as there:
        assert there.snapshots.path(digest).stat().st_ino == inode
        verify_snapshot(there.snapshots.path(digest), digest)
    with pytest.raises(DamagedSnapshot) as caught:
        registry.snapshots.path(digest)
    assert caught.value.reason == "SNAPSHOT_MISSING"


@pytest.mark.parametrize("damage", ["changed", "shorter", "gone"])
def test_a_damaged_copy_is_made_anew_and_mappings_live_on(
    registry: Registry, other: Place, damage: str
) -> None:
    [digest] = digests(registry, 1)
    with other.open() as there:
        folder = there.snapshots.path(digest)
        mapped = Snapshot.open(folder, digest)
        before = mapped.item_counts.tobytes()
        file = folder / "item_counts.npy"
        data = file.read_bytes()
        file.unlink()
        if damage != "gone":
            file.write_bytes(data[:-1] + (bytes([data[-1] ^ 1]) if damage == "changed" else b""))
        assert there.snapshots.mend(digest)
        verify_snapshot(there.snapshots.path(digest), digest)
        assert mapped.item_counts.tobytes() == before
        inode = folder.stat().st_ino
        assert there.snapshots.mend(digest)
        assert folder.stat().st_ino == inode, "what is whole is left alone"


def test_what_is_damaged_in_the_bucket_becomes_no_copy(
    registry: Registry, place: Place, other: Place
) -> None:
    [digest] = digests(registry, 1)
    place.damage(f"snapshots/{digest}/item_counts.npy", b"damaged")
    with other.open() as there:
        with pytest.raises(DamagedSnapshot, match=r"item_counts\.npy") as caught:
            there.snapshots.hold(digest)
        assert caught.value.reason == "SNAPSHOT_DAMAGED"
        assert copies(other) == set()
        assert not list(other.staging.iterdir())


def test_the_copies_that_were_not_used_for_longest_make_room(registry: Registry, other: Place) -> None:
    first, second, third = digests(registry, 3)
    with other.open() as there:
        for digest in (first, second):
            there.snapshots.hold(digest).release()
        # Either is a use.
        there.snapshots.hold(second).release()
        there.snapshots.note_use(first)
        there.snapshots.note_use(third)  # no copy of which is here
    limit = size_of(other, first) + size_of(other, second) + 100
    with other.open(cache_bytes=limit) as there:
        there.snapshots.hold(third).release()
    assert copies(other) == {first, third}


def test_what_is_in_use_stays_whatever_the_limit(registry: Registry, other: Place) -> None:
    """Also where the user is another process, and until it is dead."""
    first, second, third = digests(registry, 3)
    with other.open(cache_bytes=0) as there, other.open(cache_bytes=0) as beside:
        held = there.snapshots.hold(first)
        beside.snapshots.hold(second).release()
        assert copies(other) == {first, second}
        beside.snapshots.hold(third).release()
        assert copies(other) == {first, third}
        held.release()
        beside.snapshots.hold(second).release()
        assert copies(other) == {second}


def test_a_removal_that_is_broken_off_leaves_nothing_that_looks_whole(
    registry: Registry, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.collect()  # claims the store
    staged, digest = stage(registry)
    registry.snapshots.commit(staged, digest)
    requests = iter([obstore.delete])  # one, and then the process is no more

    def delete(store: S3Store, paths: list[str]) -> None:
        next(requests)(store, paths)

    with monkeypatch.context() as patch:
        patch.setattr(obstore, "delete", delete)
        with pytest.raises(StopIteration):
            registry.collect(AT_ONCE)
    assert not registry.snapshots.contains(digest)
    assert kept(place) == {digest}
    registry.collect(AT_ONCE)
    assert kept(place) == set()


def test_several_processes_fetch_a_snapshot_once(registry: Registry, other: Place) -> None:
    digests(registry, 1)
    found = [line for [line] in run_together("hold", other)]
    assert len({line["inode"] for line in found}) == 1
    assert not list(other.staging.iterdir())


def test_who_waits_too_long_for_another_is_told(
    registry: Registry, other: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    [digest] = digests(registry, 1)
    monkeypatch.setattr(cache, "PATIENCE_SECONDS", 0.0)
    with other.open() as there, other.open() as beside:

        def stuck(path: Path) -> None:
            with pytest.raises(Unavailable, match="still fetching"):
                beside.snapshots.hold(digest)
            verify_snapshot(path, digest)

        there._store.hold(f"snapshots/{digest}", stuck).release()


def test_a_disk_that_takes_no_copy_is_told(registry: Registry, other: Place) -> None:
    [digest] = digests(registry, 1)
    with other.open() as there:
        other.staging.rmdir()
        other.staging.touch()  # no folder: root may write into one that is closed
        with pytest.raises(Unavailable, match="Not a directory"):
            there.snapshots.hold(digest)
        other.staging.unlink()
        other.staging.mkdir()
        there.snapshots.hold(digest).release()


def test_an_upload_is_read_on_another_machine(registry: Registry, place: Place, other: Place) -> None:
    with registry.uploads.create("r1") as writer:
        writer.append(["u"], ["i"], [1.0])
        upload_id = writer.commit().upload_id
    with other.open() as there:
        path = there.uploads.path(upload_id)
        assert pq.read_table(path).to_pydict() == {"user_id": ["u"], "item_id": ["i"], "rating": [1.0]}
        path.write_bytes(b"damaged")
        assert pq.read_table(there.uploads.path(upload_id)).num_rows == 1
        path.unlink()
        place.damage(f"uploads/{upload_id}.parquet", b"damaged")
        with pytest.raises(DamagedSnapshot) as caught:
            there.uploads.path(upload_id)
        assert caught.value.reason == "STORAGE_FAILED"
        place.damage(f"uploads/{upload_id}.parquet")
        with pytest.raises(DamagedSnapshot):
            there.uploads.path(upload_id)


@pytest.mark.parametrize("away", ["refuses", "says nothing", "forbids"])
def test_a_bucket_that_does_not_answer_is_unavailable_and_tells_no_secret(
    home: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], away: str
) -> None:
    monkeypatch.setattr(store_bucket, "SILENCE_SECONDS", 0.2)
    Registry.open(home, store_url=bucket).close()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        if away == "forbids":
            monkeypatch.setenv("AWS_ENDPOINT_URL", os.environ["AWS_ENDPOINT_URL"] + "/nothing/here")
        else:
            monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{silent.getsockname()[1]}")
        if away == "refuses":
            silent.close()
        with Registry.open(home, store_url=bucket) as registry:
            with pytest.raises(Unavailable) as caught:
                registry.snapshots.hold("0" * 64)
            told = capsys.readouterr()
            for text in (str(caught.value), repr(caught.value.__cause__), told.out, told.err):
                assert SECRET not in text


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/folder",
        "s3://",
        "s3:///prefix",
        "s3://key:SECRET@bucket/prefix",
        "s3://bucket?secret=SECRET",
        "s3://bucket:port/x",
        "file://host/folder",
        "gs://bucket",
    ],
)
def test_a_url_that_names_no_store_is_refused_and_not_repeated(home: Path, url: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Registry.open(home, store_url=url)
    assert caught.value.field == "store_url"
    assert "SECRET" not in caught.value.message
    assert not home.exists() or not (home / "registry.db").exists()


def test_a_folder_that_several_homes_share(tmp_path: Path) -> None:
    url = check_store_url((tmp_path / "a shared folder").as_uri())
    database = f"sqlite:///{tmp_path / 'shared.db'}"
    with Registry.open(tmp_path / "one", database_url=database, store_url=url) as one:
        digest = publish(one).digest
    with Registry.open(tmp_path / "two", database_url=database, store_url=url) as two:
        assert two.snapshots.path(digest) == tmp_path / "a shared folder" / "snapshots" / digest
        verify_snapshot(two.snapshots.path(digest), digest)


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:9000", "nonsense", "", "ftp://host", "http://", "http://host:port"]
)
def test_an_endpoint_that_is_no_url_is_refused(
    home: Path, bucket: str, monkeypatch: pytest.MonkeyPatch, endpoint: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(InvalidArgument, match="AWS_ENDPOINT_URL must look like"):
        Registry.open(home, store_url=bucket)
