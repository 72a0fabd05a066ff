"""What an archive holds, and that it is all there or not at all."""

from __future__ import annotations

import json
import os
import threading
from hashlib import sha256
from pathlib import Path

import pytest

from mfserve_registry import Registry, Version
from mfserve_registry.errors import DamagedSnapshot, NotFound
from tests.registry.archive.files import CURVE, EMPTY, files_in, small_disk
from tests.registry.helpers import publish


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_what_is_in_it(source: Registry, archived: tuple[Version, Path], archive: bytes) -> None:
    version, _ = archived
    files = files_in(archive)
    document = json.loads(files.pop("version.json"))
    assert (
        files.pop("version.json.sha256").split()[0]
        == sha256(files_in(archive)["version.json"]).hexdigest().encode()
    )
    folder = source.snapshots.path(version.digest)
    assert files == {
        **{f"snapshot/{path.name}": path.read_bytes() for path in folder.iterdir()},
        "artifacts/curve.csv": CURVE.data,
        "artifacts/empty.txt": EMPTY.data,
    }
    assert [member["path"] for member in document["members"]] == list(files)
    for member in document.pop("members"):
        data = files[member["path"]]
        assert (member["bytes"], member["sha256"]) == (len(data), sha256(data).hexdigest())
        assert ("media_type" in member) == member["path"].startswith("artifacts/")
    assert document == {
        "format": 1,
        "model": "movies",
        "version": 2,
        "digest": version.digest,
        "created_at": version.created_at.isoformat().replace("+00:00", "Z"),
        "metrics": {"rmse": 0.9},
        "facts": {},
    }


def test_the_same_version_gives_the_same_bytes(source: Registry, archive: bytes, tmp_path: Path) -> None:
    path = tmp_path / "again"
    path.write_text("something else")
    source.export_version("movies", 2, path)
    assert path.read_bytes() == archive
    assert names(tmp_path) == ["again"]


def test_progress_ends_at_the_total(source: Registry, archived: tuple[Version, Path], tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    source.export_version("movies", 2, tmp_path / "a", progress=lambda *step: told.append(step))
    total = archived[0].size_bytes + len(CURVE.data)
    assert told == sorted(told)
    assert (told[-1], {total for _, total in told}) == ((total, total), {total})


def test_into_a_pipe(source: Registry, archive: bytes, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    source.export_version("movies", 2, pipe)
    reader.join()
    assert read == [archive]
    assert pipe.is_fifo()


@pytest.mark.parametrize(
    ("model", "version", "reason"), [("books", 1, "MODEL_NOT_FOUND"), ("movies", 9, "VERSION_NOT_FOUND")]
)
def test_what_is_not_there(source: Registry, tmp_path: Path, model: str, version: int, reason: str) -> None:
    with pytest.raises(NotFound) as caught:
        source.export_version(model, version, tmp_path / "a")
    assert caught.value.reason == reason
    assert names(tmp_path) == []


@pytest.mark.parametrize("place", ["sqlite-folder"], indirect=True)
@pytest.mark.parametrize("damage", ["changed", "cut", "gone", "no snapshot", "artifact"])
def test_nothing_is_written_of_a_version_that_is_damaged(
    registry: Registry, home: Path, tmp_path: Path, damage: str
) -> None:
    version = publish(registry, artifacts=[CURVE])
    folder = registry.snapshots.path(version.digest)
    file = folder / "ranking_item_factors.npy"
    if damage == "artifact":
        (file,) = (path for path in (home / "artifacts").rglob("*") if path.is_file())
    data = file.read_bytes()
    file.unlink()
    if damage in {"changed", "artifact"}:
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "cut":
        file.write_bytes(data[:-1])
    elif damage == "no snapshot":
        folder.rename(tmp_path / "elsewhere")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(DamagedSnapshot) as caught:
        registry.export_version("movies", 1, out / "a")
    assert (
        "curve.csv" in str(caught.value)
        or "ranking_item_factors.npy" in str(caught.value)
        or damage == "no snapshot"
    )
    assert names(out) == []


def test_a_disk_that_fills_leaves_what_was_there(source: Registry, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("before")
    with small_disk(16 << 10), pytest.raises(OSError, match="File too large"):
        source.export_version("movies", 2, path)
    assert path.read_text() == "before"
    assert names(tmp_path) == ["a"]


def test_a_device_that_is_full(source: Registry) -> None:
    with pytest.raises(OSError, match="No space left on device"):
        source.export_version("movies", 2, Path("/dev/full"))
    assert Path("/dev/full").is_char_device()
