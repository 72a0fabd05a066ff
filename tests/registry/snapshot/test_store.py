"""A store holds a snapshot whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from mfserve_registry import Registry
from mfserve_registry.errors import DamagedSnapshot, InvalidArgument
from mfserve_registry.snapshot import Snapshot, SnapshotStore, verify_snapshot, write_snapshot
from tests.places import Place
from tests.registry.helpers import run_together
from tests.registry.snapshot.samples import random_content, rating_of


@pytest.fixture
def store(registry: Registry) -> SnapshotStore:
    return registry.snapshots


def publish(store: SnapshotStore, seed: int = 31) -> str:
    staged = store.stage()
    digest = write_snapshot(staged, random_content(seed))
    store.commit(staged, digest)
    assert not staged.exists()
    return digest


def staged_folders(store: SnapshotStore) -> list[Path]:
    probe = store.stage()
    store.discard(probe)
    return list(probe.parent.iterdir())


def test_a_committed_snapshot_is_found_by_its_digest(store: SnapshotStore) -> None:
    digest = publish(store)
    assert store.contains(digest)
    assert Snapshot.open(store.path(digest), digest).digest == digest
    assert not staged_folders(store)


def test_a_staged_snapshot_is_not_there_yet(store: SnapshotStore) -> None:
    staged = store.stage()
    digest = write_snapshot(staged, random_content(32))
    assert not store.contains(digest)
    store.discard(staged)
    store.discard(staged)
    assert not staged_folders(store)
    assert not store.contains(digest)


def test_committing_again_changes_nothing(store: SnapshotStore) -> None:
    digest = publish(store)
    inode = store.path(digest).stat().st_ino
    assert publish(store) == digest
    assert store.path(digest).stat().st_ino == inode, "who has mapped it still shares it with those who come"
    assert not staged_folders(store)


@pytest.mark.parametrize("name", ["manifest.json", "user_means.npy"])
@pytest.mark.parametrize("data", [None, b"", b"{}"])
def test_a_damaged_snapshot_is_replaced_and_its_mappings_live_on(
    place: Place, store: SnapshotStore, name: str, data: bytes | None
) -> None:
    digest = publish(store)
    mapped = Snapshot.open(store.path(digest), digest)
    before = rating_of(mapped).item_factors.tobytes()
    place.damage(f"snapshots/{digest}/{name}", data)
    publish(store)
    elsewhere = place.seen_from(place.home.with_name("elsewhere")) if place.store_url else place
    with elsewhere.open() as registry:
        verify_snapshot(registry.snapshots.path(digest), digest)
    assert rating_of(mapped).item_factors.tobytes() == before
    assert not staged_folders(store)


def test_what_is_not_the_snapshot_is_not_committed(store: SnapshotStore) -> None:
    staged = store.stage()
    with pytest.raises(DamagedSnapshot):
        store.commit(staged, "0" * 64)
    digest = write_snapshot(staged, random_content(33))
    with pytest.raises(DamagedSnapshot):
        store.commit(staged, "0" * 64)
    assert not store.contains("0" * 64)
    store.commit(staged, digest)
    assert store.contains(digest)


@pytest.mark.parametrize("digest", ["", "../../etc", "a" * 63, "A" * 64, "a" * 64 + "\n", "/" + "a" * 63])
def test_a_digest_cannot_be_a_path(store: SnapshotStore, digest: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        store.path(digest)
    assert caught.value.field == "digest"


def test_discards_only_what_was_staged(store: SnapshotStore, tmp_path: Path) -> None:
    digest = publish(store)
    for folder in (tmp_path, store.path(digest)):
        with pytest.raises(ValueError, match="not staged here"):
            store.discard(folder)
    assert store.contains(digest)


def test_processes_that_commit_the_same_at_once_all_succeed(place: Place) -> None:
    digests = {line["digest"] for lines in run_together("commit", place) for line in lines}
    [digest] = digests
    with place.open() as registry:
        verify_snapshot(registry.snapshots.path(str(digest)), str(digest))
    assert not any(place.staging.iterdir())
