"""A store holds a snapshot whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mfserve_registry.errors import DamagedSnapshot, InvalidArgument
from mfserve_registry.snapshot import FolderStore, Snapshot, verify_snapshot, write_snapshot
from tests.registry.snapshot.samples import random_content, rating_of


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "snapshots")


def publish(store: FolderStore, seed: int = 31) -> str:
    staged = store.stage()
    digest = write_snapshot(staged, random_content(seed))
    store.commit(staged, digest)
    assert not staged.exists()
    return digest


def staged_folders(store: FolderStore) -> list[Path]:
    probe = store.stage()
    store.discard(probe)
    return list(probe.parent.iterdir())


def test_a_committed_snapshot_is_found_by_its_digest(store: FolderStore) -> None:
    digest = publish(store)
    assert store.contains(digest)
    assert Snapshot.open(store.path(digest), digest).digest == digest
    assert not staged_folders(store)


def test_a_staged_snapshot_is_not_there_yet(store: FolderStore) -> None:
    staged = store.stage()
    digest = write_snapshot(staged, random_content(32))
    assert not store.contains(digest)
    store.discard(staged)
    store.discard(staged)
    assert not staged_folders(store)
    assert not store.contains(digest)


def test_committing_again_changes_nothing(store: FolderStore) -> None:
    digest = publish(store)
    inode = store.path(digest).stat().st_ino
    assert publish(store) == digest
    assert store.path(digest).stat().st_ino == inode
    assert not staged_folders(store)


@pytest.mark.parametrize("name", ["manifest.json", "user_means.npy"])
def test_a_damaged_snapshot_is_replaced_and_its_mappings_live_on(store: FolderStore, name: str) -> None:
    digest = publish(store)
    mapped = Snapshot.open(store.path(digest), digest)
    before = rating_of(mapped).item_factors.tobytes()
    (store.path(digest) / name).unlink()
    publish(store)
    verify_snapshot(store.path(digest), digest)
    assert rating_of(mapped).item_factors.tobytes() == before
    assert not staged_folders(store)


def test_what_is_not_the_snapshot_is_not_committed(store: FolderStore) -> None:
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
def test_a_digest_cannot_be_a_path(store: FolderStore, digest: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        store.path(digest)
    assert caught.value.field == "digest"


def test_discards_only_what_was_staged(store: FolderStore, tmp_path: Path) -> None:
    digest = publish(store)
    for folder in (tmp_path, store.path(digest)):
        with pytest.raises(ValueError, match="not a staged folder"):
            store.discard(folder)
    assert store.contains(digest)


COMMIT = """
import sys
from pathlib import Path
from mfserve_registry.snapshot import FolderStore, write_snapshot
from tests.registry.snapshot.samples import random_content, rating_of
store = FolderStore(Path(sys.argv[1]))
staged = store.stage()
digest = write_snapshot(staged, random_content(34))
sys.stdout.write("ready\\n"); sys.stdout.flush()
sys.stdin.readline()
store.commit(staged, digest)
sys.stdout.write(digest)
"""


def test_processes_that_commit_the_same_at_once_all_succeed(tmp_path: Path) -> None:
    root = tmp_path / "snapshots"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", COMMIT, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    digests = {process.communicate("go\n", timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert len(digests) == 1
    verify_snapshot(root / digests.pop(), next(iter(root.glob("[0-9a-f]*"))).name)
    assert not any((root / ".staging").iterdir())
