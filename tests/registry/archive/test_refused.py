"""Whatever is not an archive as it was exported is refused, and leaves nothing behind."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mfserve_registry import Artifact, Registry, Version
from mfserve_registry.archive import document as documents
from mfserve_registry.archive.tar import BLOCK, header
from mfserve_registry.errors import DamagedArchive, DamagedSnapshot, InvalidArgument, RegistryError
from tests.places import Place
from tests.registry.archive.files import (
    Document,
    Files,
    files_in,
    packed,
    small_disk,
    tampered,
    with_document,
)
from tests.registry.helpers import publish

# What is refused never comes to the store, of whatever kind.
pytestmark = pytest.mark.parametrize("place", ["sqlite-folder"], indirect=True)

Archived = tuple[Version, Path]
ONCE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)


def refuses(
    registry: Registry, place: Place, archive: bytes, expected: type[RegistryError] = DamagedArchive
) -> str:
    """Imports it, which must fail with ``expected`` and leave nothing; the message."""
    path = place.home.parent / "archive"
    path.write_bytes(archive)
    with pytest.raises(expected) as caught:
        registry.import_version(path)
    assert leavings(registry, place) == []
    assert "\n" not in caught.value.message
    return f"{caught.value.reason}: {caught.value.message}"


def leavings(registry: Registry, place: Place) -> list[str]:
    """Models that are visible, and files of snapshots and artifacts."""
    models = [model.model for model in registry.models.list().items]
    staged = place.staging.iterdir() if place.staging.exists() else ()
    return [*models, *place.stored("snapshots"), *place.stored("artifacts"), *map(str, staged)]


@ONCE
@given(st.data())
def test_any_flipped_bit(registry: Registry, place: Place, archive: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(archive) - 1))
    flipped = bytearray(archive)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    refuses(registry, place, bytes(flipped))


def test_a_flipped_bit_in_every_block(registry: Registry, place: Place, archive: bytes) -> None:
    """So each header, each file and each padding has its turn, and the end."""
    random = np.random.default_rng(0)
    for block in range(0, len(archive), BLOCK):
        flipped = bytearray(archive)
        flipped[block + random.integers(BLOCK)] ^= 1 << random.integers(8)
        refuses(registry, place, bytes(flipped))


@ONCE
@given(st.data())
@example(data=None)
def test_any_shorter_file(
    registry: Registry, place: Place, archive: bytes, data: st.DataObject | None
) -> None:
    end = len(archive) - 1 if data is None else data.draw(st.integers(0, len(archive) - 1))
    message = refuses(registry, place, archive[:end])
    assert "cut short" in message or end < BLOCK


def test_a_longer_file(registry: Registry, place: Place, archive: bytes) -> None:
    message = refuses(registry, place, archive + b"\0")
    assert message.split(": ") == [
        "ARCHIVE_DAMAGED",
        "The archive is damaged",
        "something follows its end.",
    ]


def gzipped(archive: bytes) -> bytes:
    return gzip.compress(archive)


def zipped(archive: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as made:
        for name, data in files_in(archive).items():
            made.writestr(name, data)
    return file.getvalue()


def repacked(archive: bytes) -> bytes:
    """By another tar, with times and owners of its own."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, data in files_in(archive).items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.uname = len(data), 1_700_000_000, "anna"
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()


def linked(archive: bytes) -> bytes:
    """Begins with a link in the place of version.json."""
    info = tarfile.TarInfo("version.json")
    info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info.tobuf() + archive


def a_huge_document(_: bytes) -> bytes:
    return header("version.json", documents.MAX_BYTES + 1) + bytes(1000)


@pytest.mark.parametrize(
    "make",
    [lambda _: b"", lambda _: b"user,item,rating\n" * 99, gzipped, zipped, repacked, linked, a_huge_document],
)
def test_what_is_no_archive(
    registry: Registry, place: Place, archive: bytes, make: Callable[[bytes], bytes]
) -> None:
    assert "no archive of mfserve" in refuses(registry, place, make(archive))


def test_what_is_no_file(registry: Registry, place: Place, tmp_path: Path) -> None:
    for path, error in ((tmp_path, IsADirectoryError), (tmp_path / "none", FileNotFoundError)):
        with pytest.raises(error):
            registry.import_version(path)
    assert leavings(registry, place) == []


def as_of(number: object) -> Callable[[Document, Files], object]:
    return lambda document, _: document.update(format=number)


def test_a_format_from_the_future(registry: Registry, place: Place, archive: bytes) -> None:
    message = refuses(registry, place, tampered(archive, as_of(2)))
    assert message.startswith("ARCHIVE_TOO_NEW: The archive has format 2; this mfserve reads up to 1.")


def test_a_future_format_may_differ_in_everything_after_version_json(
    registry: Registry, place: Place
) -> None:
    message = refuses(registry, place, packed({"version.json": b'{"format": 7, "parts": []}', "other": b""}))
    assert message.startswith("ARCHIVE_TOO_NEW")


@pytest.mark.parametrize("number", [0, -1, True, "1", 1.5, None])
def test_a_format_that_is_no_number(registry: Registry, place: Place, archive: bytes, number: object) -> None:
    assert "no format number" in refuses(registry, place, tampered(archive, as_of(number)))


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"nul", b"\xff", b"[" * 100_000])
def test_a_document_that_is_none(registry: Registry, place: Place, archive: bytes, text: bytes) -> None:
    assert "version.json is damaged" in refuses(registry, place, with_document(archive, text))


def with_member(path: str, data: bytes = b"x", **more: object) -> Callable[[Document, Files], object]:
    def change(document: Document, files: Files) -> None:
        files[path] = data
        document["members"].append({"path": path, **more})

    return change


@pytest.mark.parametrize(
    "path",
    [
        "../evil.npy",
        "/tmp/evil.npy",
        "snapshot/../../evil.npy",
        "snapshot/..npy",
        "snapshot/sub/evil.npy",
        "snapshot/evil.so",
        "snapshot/",
        "snapshot",
        "snapshot/evil.npy\n",
        "elsewhere/evil.npy",
        "manifest.json",
        "",
    ],
)
def test_names_that_lead_elsewhere(registry: Registry, place: Place, archive: bytes, path: str) -> None:
    message = refuses(registry, place, tampered(archive, with_member(path)))
    assert "does not follow format 1 at 'members." in message


@pytest.mark.parametrize("name", ["../evil", "..", "a/b", "", ".hidden", "x" * 129, "ä"])
def test_artifacts_whose_names_lead_elsewhere(
    registry: Registry, place: Place, archive: bytes, name: str
) -> None:
    """A tar cannot hold them all as we write it: the document alone is changed."""

    def rename(document: Document, _: Files) -> None:
        document["members"][-1]["path"] = f"artifacts/{name}"

    text = changed_alone(archive, rename)
    assert "does not follow format 1 at 'members." in refuses(registry, place, with_document(archive, text))


def changed_alone(archive: bytes, change: Callable[[Document, Files], object]) -> bytes:
    """The document after a change that leaves the files as they are."""
    document = json.loads(files_in(archive)["version.json"])
    change(document, {})
    return json.dumps(document).encode()


def set_member(number: int, **values: object) -> Callable[[Document, Files], object]:
    return lambda document, _: document["members"][number].update(values)


def set_gates(**values: object) -> Callable[[Document, Files], object]:
    gates = {"alias": "production", "incumbent": 1, "revision": 1, "results": []}
    return lambda document, _: document.update(gates=gates | values)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        (set_member(1, media_type="text/plain"), "members.1"),
        (set_member(-1, media_type="text"), "members."),
        (set_member(-1, media_type=None), "members."),
        (set_member(1, bytes=-1), "members.1.bytes"),
        (set_member(1, bytes=1.0), "members.1.bytes"),
        (set_member(1, sha256="0"), "members.1.sha256"),
        (set_member(1, mode=0o777), "members.1.mode"),
        (set_member(-1, bytes=2**30 + 1), "members"),
        (lambda document, _: document["members"].append(document["members"][1]), "members"),
        (lambda document, _: document["members"].pop(0), "members"),
        (lambda document, _: document.update(digest="0" * 64), "members"),
        (lambda document, _: document.update(version=0), "version"),
        (lambda document, _: document.update(metrics=[]), "metrics"),
        (lambda document, _: document.update(facts=None), "facts"),
        (lambda document, _: document.update(created_at="yesterday"), "created_at"),
        (lambda document, _: document.update(created_at="2030-01-01T00:00:00"), "created_at"),
        (lambda document, _: document.update(more=1), "more"),
        (lambda document, _: document.update(gates={}), "gates.alias"),
        (set_gates(incumbent=2**63), "gates.incumbent"),
        (set_gates(revision=-1), "gates.revision"),
        (set_gates(results=[{"gate": "USERS", "outcome": "PERHAPS", "message": ""}]), "gates.results.0"),
        (lambda document, _: document.pop("model"), "model"),
    ],
)
def test_a_document_that_says_what_cannot_be(
    registry: Registry, place: Place, archive: bytes, change: Callable[[Document, Files], object], where: str
) -> None:
    message = refuses(registry, place, with_document(archive, changed_alone(archive, change)))
    assert f"does not follow format 1 at '{where}" in message


def test_a_metric_that_is_no_json(registry: Registry, place: Place, archive: bytes) -> None:
    change = lambda document, _: document["metrics"].update(rmse=float("nan"))  # noqa: E731
    assert "it is not JSON" in refuses(
        registry, place, with_document(archive, changed_alone(archive, change))
    )


def test_a_model_that_has_no_name(registry: Registry, place: Place, archive: bytes) -> None:
    named = tampered(archive, lambda document, _: document.update(model="../movies"))
    assert "A model's name is" in refuses(registry, place, named, InvalidArgument)


def test_a_file_more_than_the_snapshot_has(registry: Registry, place: Place, archive: bytes) -> None:
    message = refuses(registry, place, tampered(archive, with_member("snapshot/evil.npy")))
    assert "differing: evil.npy" in message


def test_a_file_less_than_the_snapshot_has(registry: Registry, place: Place, archive: bytes) -> None:
    def leave_out(document: Document, files: Files) -> None:
        assert document["members"].pop(1)["path"] == "snapshot/item_counts.npy"

    message = refuses(registry, place, tampered(archive, leave_out), DamagedSnapshot)
    assert "item_counts.npy is missing" in message


def test_members_in_another_order_than_is_said(registry: Registry, place: Place, archive: bytes) -> None:
    change = lambda document, _: document["members"].reverse()  # noqa: E731
    text = changed_alone(archive, change)
    assert "damaged at artifacts/empty.txt" in refuses(registry, place, with_document(archive, text))


def test_a_snapshot_that_was_tampered_with_is_not_the_digest_s(
    registry: Registry, place: Place, archive: bytes
) -> None:
    """Every sum of the archive is right; the manifest's is not."""

    def change(_: Document, files: Files) -> None:
        files["snapshot/item_counts.npy"] = files["snapshot/item_counts.npy"][:-4] + b"\1\0\0\0"

    message = refuses(registry, place, tampered(archive, change), DamagedSnapshot)
    assert "item_counts.npy is damaged" in message


def with_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Document, Files], object]:
    """Another manifest, whose digest the document has."""

    def apply(document: Document, files: Files) -> None:
        manifest = json.loads(files["snapshot/manifest.json"])
        change(manifest)
        data = files["snapshot/manifest.json"] = json.dumps(manifest).encode()
        document["members"][0]["bytes"] = len(data)
        document["digest"] = sha256(data).hexdigest()

    return apply


def test_a_snapshot_of_a_future_format(registry: Registry, place: Place, archive: bytes) -> None:
    future = tampered(archive, with_manifest(lambda manifest: manifest.update(format=2)))
    assert refuses(registry, place, future, DamagedSnapshot).startswith("SNAPSHOT_TOO_NEW")


def test_a_snapshot_for_which_there_is_no_room(registry: Registry, place: Place, archived: Archived) -> None:
    with small_disk(1 << 10), pytest.raises(OSError, match="File too large"):
        registry.import_version(archived[1])
    assert leavings(registry, place) == []
    assert registry.import_version(archived[1]).version.version == 1


def test_an_artifact_for_which_there_is_no_room(
    registry: Registry, place: Place, source: Registry, tmp_path: Path
) -> None:
    """When the snapshot has arrived."""
    version = publish(
        source, "large", "large", artifacts=[Artifact("a.bin", "application/zip", bytes(1 << 16))]
    )
    source.export_version("large", version.version, tmp_path / "large")
    with small_disk(16 << 10), pytest.raises(OSError, match="File too large"):
        registry.import_version(tmp_path / "large")
    assert leavings(registry, place) == []
