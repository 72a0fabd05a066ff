"""Verifying once among several processes, and letting go of what was loaded."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO
from weakref import finalize

import pytest
from structlog.testing import capture_logs

from mfserve_registry import Registry, filelocks
from mfserve_registry.errors import DamagedSnapshot
from mfserve_registry.snapshot import Snapshot, write_snapshot
from mfserve_server import scoring, verification
from mfserve_server.preparation import prepare
from mfserve_server.releasing import Releaser
from mfserve_server.settings import Settings
from mfserve_server.verification import Verification
from tests.backends import bucket
from tests.places import BUCKET
from tests.registry.snapshot.samples import random_content
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.server.test_versions import answer
from tests.waiting import eventually

__all__ = ["bucket"]

PATIENCE = 60.0


@pytest.fixture
def verdicts(tmp_path: Path) -> Path:
    folder = tmp_path / "verdicts"
    folder.mkdir()
    return folder


@pytest.fixture
def snapshot(tmp_path: Path) -> tuple[Path, str]:
    folder = tmp_path / "snapshot"
    return folder, write_snapshot(folder, random_content())


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The digest of every snapshot that this process verifies."""
    digests: list[str] = []

    class Counted:
        @staticmethod
        def open(directory: Path, digest: str) -> Snapshot:
            digests.append(digest)
            return Snapshot.open(directory, digest)

    monkeypatch.setattr(verification, "Snapshot", Counted)
    return digests


def _damage(folder: Path) -> None:
    """Replaces a file by one of the same size with other bytes."""
    file = folder / "item_counts.npy"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.with_suffix(".new").write_bytes(data)
    file.with_suffix(".new").replace(file)


def test_what_one_has_verified_others_believe(
    verdicts: Path, snapshot: tuple[Path, str], opened: list[str]
) -> None:
    for _ in range(3):
        Verification(verdicts).require(*snapshot)
    assert opened == [snapshot[1]]


def test_a_refusal_is_known_to_all_until_the_files_are_others(
    verdicts: Path, snapshot: tuple[Path, str], opened: list[str]
) -> None:
    folder, digest = snapshot
    whole = (folder / "item_counts.npy").read_bytes()
    _damage(folder)
    for _ in range(3):
        with pytest.raises(DamagedSnapshot, match=r"item_counts\.npy is damaged") as refused:
            Verification(verdicts).require(folder, digest)
        assert refused.value.reason == "SNAPSHOT_DAMAGED"
    assert len(opened) == 1
    (folder / "mended").write_bytes(whole)
    (folder / "mended").replace(folder / "item_counts.npy")
    Verification(verdicts).require(folder, digest)
    _damage(folder)
    with pytest.raises(DamagedSnapshot):
        Verification(verdicts).require(folder, digest)


def test_a_refusal_is_looked_at_again_after_a_while(
    verdicts: Path, snapshot: tuple[Path, str], opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verification, "REFUSAL_SECONDS", 0.0)
    _damage(snapshot[0])
    for _ in range(2):
        with pytest.raises(DamagedSnapshot):
            Verification(verdicts).require(*snapshot)
    assert len(opened) == 2


def test_a_missing_snapshot_is_refused_until_it_is_there(verdicts: Path, snapshot: tuple[Path, str]) -> None:
    folder, digest = snapshot
    folder.rename(folder.with_suffix(".away"))
    with pytest.raises(DamagedSnapshot) as refused:
        Verification(verdicts).require(folder, digest)
    assert refused.value.reason == "SNAPSHOT_MISSING"
    folder.with_suffix(".away").rename(folder)
    Verification(verdicts).require(folder, digest)


@pytest.mark.parametrize("torn", [b"", b'{"files": "item', b"[]", b'{"other": 1}'])
def test_a_verdict_whose_writer_died_over_it_counts_for_nothing(
    torn: bytes, verdicts: Path, snapshot: tuple[Path, str], opened: list[str]
) -> None:
    (verdicts / snapshot[1]).write_bytes(torn)
    for _ in range(2):
        Verification(verdicts).require(*snapshot)
    assert len(opened) == 1


def test_without_the_folder_everybody_verifies_alone(
    verdicts: Path, snapshot: tuple[Path, str], opened: list[str]
) -> None:
    verdicts.rmdir()
    for _ in range(2):
        Verification(verdicts).require(*snapshot)
    assert len(opened) == 2
    _damage(snapshot[0])
    with pytest.raises(DamagedSnapshot):
        Verification(verdicts).require(*snapshot)


VERIFYING = """
import sys
from pathlib import Path
from mfserve_server import scoring, verification

class Endless:
    @staticmethod
    def open(directory, digest):
        print("verifies", flush=True)
        sys.stdin.read()

verification.Snapshot = Endless
verification.Verification(Path(sys.argv[1])).require(Path(sys.argv[2]), sys.argv[3])
"""


@pytest.fixture
def other(verdicts: Path, snapshot: tuple[Path, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Another process, which verifies the snapshot and never ends."""
    command = [sys.executable, "-c", VERIFYING, str(verdicts), str(snapshot[0]), snapshot[1]]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"verifies\n"
        yield process
        process.kill()


def test_a_process_that_is_killed_while_it_verifies_leaves_it_to_the_next(
    other: subprocess.Popen[bytes],
    verdicts: Path,
    snapshot: tuple[Path, str],
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waits, lock = threading.Event(), filelocks._lock

    def told(file: BinaryIO, kind: int) -> bool:
        free = lock(file, kind)
        if not free:
            waits.set()
        return free

    monkeypatch.setattr(filelocks, "_lock", told)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(Verification(verdicts).require, *snapshot)
        assert waits.wait(PATIENCE)
        assert opened == []
        other.kill()
        waiting.result(PATIENCE)
    assert opened == [snapshot[1]]
    assert (verdicts / snapshot[1]).stat().st_size > 0


def test_a_process_that_is_stopped_while_it_verifies_holds_nobody_up_for_ever(
    other: subprocess.Popen[bytes],
    verdicts: Path,
    snapshot: tuple[Path, str],
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verification, "PATIENCE_SECONDS", 0.1)
    other.send_signal(signal.SIGSTOP)
    with capture_logs() as logs:
        Verification(verdicts).require(*snapshot)
    assert opened == [snapshot[1]]
    assert [line["message"] for line in logs if line["log_level"] == "warning"] == [
        "another process has held a lock for 0.1 seconds"
    ]


def test_what_is_released_dies_in_the_releasers_thread() -> None:
    class Part:
        pass

    owner, part = Part(), Part()
    died = threading.Event()
    where: list[str] = []

    def tell() -> None:
        where.append(threading.current_thread().name)
        died.set()

    finalize(part, tell)
    releaser = Releaser()
    releaser.keep_until_gone(owner, part)
    del part
    assert not died.is_set()
    del owner
    assert died.wait(PATIENCE)
    releaser.close()
    assert where == ["releasing"]


@pytest.mark.parametrize("small", [True, False])
async def test_an_old_version_is_let_go_of_beside_the_event_loop(
    small: bool, serve: MakeServer, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not small:
        monkeypatch.setattr(scoring, "_ON_LOOP", 0)  # scored in the other thread, and shared
    publish(registry, seed=1)
    server = await serve()
    before = await answer(server)
    loop, died = asyncio.get_running_loop(), asyncio.Event()
    where: list[str] = []

    def tell() -> None:
        where.append(threading.current_thread().name)
        loop.call_soon_threadsafe(died.set)

    catalog, name = server.service._catalog, ("movies", "production")
    finalize(catalog.by_alias[name].targets[0].recommender, tell)
    publish(registry, seed=2, promote_to="production")
    async with asyncio.timeout(PATIENCE):
        await died.wait()  # though nobody asks for anything more
    assert where == ["releasing"]
    assert await answer(server) != before


def test_a_start_says_that_the_bucket_cannot_be_used(
    home: Path, registry: Registry, verdicts: Path, bucket: str
) -> None:
    with capture_logs() as logs:
        assert prepare(Settings(home=home, store_url=f"{bucket}-absent"), Verification(verdicts))
        eventually(
            lambda: any(f"'{BUCKET}-absent' does not exist" in line.get("message", "") for line in logs),
            "the log says so",
        )


def test_a_start_says_which_version_is_damaged_and_what_mends_it(
    home: Path, registry: Registry, verdicts: Path
) -> None:
    (registry.snapshots.path(publish(registry).digest) / "item_counts.npy").unlink()
    with capture_logs() as logs:
        assert prepare(Settings(home=home), Verification(verdicts))
    (said,) = [log for log in logs if log["event"] == "version cannot be served"]
    assert (said["model"], said["version"], said["reason"]) == ("movies", 1, "SNAPSHOT_DAMAGED")
    assert "item_counts.npy is missing. Import an archive of this version" in said["message"]
