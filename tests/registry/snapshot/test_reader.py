"""Damage of every kind is refused, with a message that names the file."""

from __future__ import annotations

import io
import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mfserve_registry.canonical import canonical_json
from mfserve_registry.errors import DamagedSnapshot
from mfserve_registry.snapshot import Snapshot, verify_snapshot, write_snapshot
from mfserve_registry.snapshot.manifest import FILE_NAME, digest_of
from tests.registry.snapshot.samples import random_content, rating_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "snapshot"


@pytest.fixture
def digest(folder: Path) -> str:
    return write_snapshot(folder, random_content(21))


def refused(folder: Path, digest: str, *, verify: bool = True) -> DamagedSnapshot:
    with pytest.raises(DamagedSnapshot) as caught:
        Snapshot.open(folder, digest, verify=verify)
    return caught.value


def overwrite(file: Path, position: int, value: int) -> None:
    with file.open("r+b") as opened:
        opened.seek(position)
        opened.write(bytes([value]))


def test_any_flipped_byte_in_any_file_is_noticed(folder: Path, digest: str) -> None:
    """A seeded sample of each file: its header, its data, its first and last byte."""
    choose = random.Random(5)
    for file in sorted(folder.iterdir()):
        whole = file.read_bytes()
        header = len(whole) if file.name == FILE_NAME else 128
        positions = {
            *choose.sample(range(min(header, len(whole))), 40),
            *choose.sample(range(len(whole)), 30),
        }
        positions |= {0, len(whole) - 1}
        for position in sorted(positions):
            overwrite(file, position, whole[position] ^ (1 << choose.randrange(8)))
            error = refused(folder, digest)
            assert error.reason == "SNAPSHOT_DAMAGED"
            assert file.name in error.message
            with pytest.raises(DamagedSnapshot):
                verify_snapshot(folder, digest)
            overwrite(file, position, whole[position])
    Snapshot.open(folder, digest)


FILES = sorted(
    [
        FILE_NAME,
        "item_counts.npy",
        "item_id_bytes.npy",
        "item_title_offsets.npy",
        "ranking_item_factors.npy",
        "rated_indices.npy",
        "rating_user_factors.npy",
        "user_id_slots.npy",
    ]
)


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(folder: Path, digest: str, name: str, verify: bool) -> None:
    (folder / name).unlink()
    error = refused(folder, digest, verify=verify)
    assert error.reason == "SNAPSHOT_DAMAGED"
    assert error.message == f"{name} is missing."


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", [-1, -10_000, 1, 64])
def test_a_file_of_another_length_is_refused(
    folder: Path, digest: str, name: str, change: int, verify: bool
) -> None:
    """Without checksums too: reading beyond the end of a mapped file would kill the process."""
    file = folder / name
    os.truncate(file, max(0, file.stat().st_size + change))
    error = refused(folder, digest, verify=verify)
    assert error.reason == "SNAPSHOT_DAMAGED"
    assert name in error.message


def test_a_missing_folder_has_its_own_reason(folder: Path, digest: str) -> None:
    shutil.rmtree(folder)
    assert refused(folder, digest).reason == "SNAPSHOT_MISSING"
    with pytest.raises(DamagedSnapshot):
        verify_snapshot(folder, digest)


def test_a_folder_in_place_of_a_file_is_refused(folder: Path, digest: str) -> None:
    (folder / "user_means.npy").unlink()
    (folder / "user_means.npy").mkdir()
    assert "user_means.npy cannot be read" in refused(folder, digest).message


def test_another_snapshots_digest_is_refused(folder: Path, digest: str) -> None:
    assert "is not the snapshot's digest" in refused(folder, "0" * 64).message


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **options)
    return file.getvalue()


@pytest.mark.parametrize("verify", [True, False])
@pytest.mark.parametrize(
    "array",
    [
        np.zeros((7,), dtype="<f8"),
        np.zeros((7,), dtype=">f4"),
        np.zeros((7,), dtype="<i4"),
        np.zeros((7, 1), dtype="<f4"),
        np.zeros((8,), dtype="<f4"),
    ],
)
def test_a_header_of_another_dtype_or_shape_is_refused(
    folder: Path, digest: str, array: Any, verify: bool
) -> None:
    (folder / "user_means.npy").write_bytes(npy(array))
    assert "user_means.npy" in refused(folder, digest, verify=verify).message


class Tripwire:
    """Unpickling one fails the test."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return pytest.fail, ("a pickle was loaded",)


def test_a_pickle_is_never_loaded(folder: Path, digest: str) -> None:
    """Not even where manifest and size agree with it."""
    data = npy(np.array([Tripwire()] * 7, dtype=object), allow_pickle=True)
    (folder / "user_means.npy").write_bytes(data)
    refused(folder, digest, verify=False)
    changed = with_manifest(folder, lambda m: m["arrays"]["user_means"].update(bytes=len(data)))
    refused(folder, changed, verify=False)
    changed = with_manifest(folder, lambda m: m["arrays"]["user_means"].update(dtype="|O"))
    assert "arrays.user_means.dtype" in refused(folder, changed).message


def with_manifest(folder: Path, change: Callable[[Any], object]) -> str:
    """Changes the manifest; returns the digest that makes the change look intended."""
    document = json.loads((folder / FILE_NAME).read_bytes())
    change(document)
    data = canonical_json(document).encode()
    (folder / FILE_NAME).write_bytes(data)
    return digest_of(data)


@pytest.mark.parametrize(
    "name", ["../item_means.npy", "/etc/passwd", "item_means.npy", "", "user_means", "."]
)
def test_a_manifest_cannot_name_another_file(folder: Path, digest: str, name: str) -> None:
    changed = with_manifest(folder, lambda m: m["arrays"]["user_means"].update(file=name))
    for verify in (True, False):
        error = refused(folder, changed, verify=verify)
        assert error.message == "manifest.json names a wrong file for user_means: it must be user_means.npy."


@pytest.mark.parametrize("number", [2, 3, 10**30])
def test_a_newer_format_says_so(folder: Path, digest: str, number: int) -> None:
    def newer(document: Any) -> None:
        document.clear()
        document.update(format=number, something="new")

    error = refused(folder, with_manifest(folder, newer))
    assert error.reason == "SNAPSHOT_TOO_NEW"
    assert f"format {number}" in error.message
    assert "Install a newer mfserve" in error.message


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.update(format=0),
        lambda m: m.update(format="1"),
        lambda m: m.update(format=True),
        lambda m: m.pop("format"),
        lambda m: m.update(surprise=1),
        lambda m: m.update(users=6),
        lambda m: m.update(users=-1),
        lambda m: m.update(users=0),
        lambda m: m.update(titles=False),
        lambda m: m.update(ranking=None),
        lambda m: m["rating"].update(factors=4),
        lambda m: m["rating"].update(intercept="3.5"),
        lambda m: m["rating"].update(folds_bias="yes"),
        lambda m: m["scale"].update(minimum=6),
        lambda m: m["arrays"].pop("item_means"),
        lambda m: m["arrays"].update(extra=m["arrays"]["item_means"]),
        lambda m: m["arrays"]["item_means"].update(shape=[10]),
        lambda m: m["arrays"]["item_means"].update(shape=[11, 1]),
        lambda m: m["arrays"]["item_means"].update(shape=[-11]),
        lambda m: m["arrays"]["item_means"].update(dtype="<i4"),
        lambda m: m["arrays"]["item_means"].update(bytes=1),
        lambda m: m["arrays"]["item_means"].update(sha256="00"),
        lambda m: m["arrays"]["rated_indices"].update(shape=[10**15], bytes=4 * 10**15 + 128),
    ],
)
def test_a_manifest_that_contradicts_the_format_is_refused(
    folder: Path, digest: str, change: Callable[[Any], object]
) -> None:
    assert refused(folder, with_manifest(folder, change)).reason == "SNAPSHOT_DAMAGED"


@pytest.mark.parametrize("data", [b"", b"[]", b"1", b"nonsense", b"\xff\xfe", b"{", b"[" * 100_000])
def test_a_manifest_that_is_no_json_object_is_refused(folder: Path, digest: str, data: bytes) -> None:
    (folder / FILE_NAME).write_bytes(data)
    assert refused(folder, digest_of(data)).reason == "SNAPSHOT_DAMAGED"


def with_array(folder: Path, name: str, values: Any) -> str:
    """Writes other values of the same dtype and shape, with the checksums of a writer who meant them."""
    data = npy_of_snapshot(folder / f"{name}.npy", values)
    (folder / f"{name}.npy").write_bytes(data)
    return with_manifest(folder, lambda m: m["arrays"][name].update(sha256=digest_of(data)))


def npy_of_snapshot(file: Path, values: Any) -> bytes:
    old = np.load(file)
    body = np.asarray(values, dtype=old.dtype).tobytes()
    assert len(body) == old.nbytes
    return file.read_bytes()[: -len(body)] + body


def test_indices_that_point_outside_are_refused(folder: Path, digest: str) -> None:
    slots = np.load(folder / "item_id_slots.npy")
    indices = np.load(folder / "rated_indices.npy")
    indptr = np.load(folder / "rated_indptr.npy")
    offsets = np.load(folder / "user_id_offsets.npy")
    wrong = {
        "item_id_slots": [
            np.zeros_like(slots),
            np.where(slots == 3, 11, slots),
            np.where(slots == 3, -2, slots),
        ],
        "rated_indices": [indices + 1, indices - 2],
        "rated_indptr": [indptr + 1, indptr[::-1], np.concatenate(([0, indptr[-1]], indptr[2:]))],
        "user_id_offsets": [offsets[::-1], offsets - 1],
    }
    for name, choices in wrong.items():
        right = np.load(folder / f"{name}.npy")
        for values in choices:
            error = refused(folder, with_array(folder, name, values))
            assert f"{name}.npy" in error.message
        assert with_array(folder, name, right) == digest


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(folder: Path, digest: str, value: float) -> None:
    """Also where a writer meant them: the checksums are right."""
    arrays = sorted(file.stem for file in folder.glob("*.npy") if np.load(file).dtype.kind == "f")
    assert {"item_means", "user_means"} < {*arrays}
    assert {"rating_user_factors", "ranking_item_factors"} < {*arrays}
    for name in arrays:
        right = np.load(folder / f"{name}.npy")
        for place in (0, right.size - 1):
            spoiled = right.copy()
            spoiled.flat[place] = value
            error = refused(folder, with_array(folder, name, spoiled))
            assert error.message == f"{name}.npy holds NaN or an infinite number."
        assert with_array(folder, name, right) == digest
    both = np.load(folder / "user_means.npy")
    both[:2] = np.inf, -np.inf
    assert "user_means.npy" in refused(folder, with_array(folder, "user_means", both)).message


def test_the_largest_finite_numbers_are_read(folder: Path) -> None:
    content = random_content(22)
    largest = np.full_like(content.rating.user_factors, np.finfo(np.float32).max)
    changed = replace(content, rating=replace(content.rating, user_factors=largest))
    snapshot = Snapshot.open(folder, write_snapshot(folder, changed))
    np.testing.assert_array_equal(rating_of(snapshot).user_factors, largest)


def test_nothing_can_be_written_through_a_snapshot(folder: Path, digest: str) -> None:
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    snapshot = Snapshot.open(folder, digest)
    arrays: list[NDArray[Any]] = [
        snapshot.item_counts,
        rating_of(snapshot).item_factors,
        snapshot.rated.indices,
        snapshot.rated.of(2),
        snapshot.users.slots,
        snapshot.users.bytes_,
    ]
    for array in arrays:
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.setflags(write=True)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_an_open_snapshot_outlives_its_folder(folder: Path, digest: str) -> None:
    snapshot = Snapshot.open(folder, digest)
    shutil.rmtree(folder)
    assert snapshot.users.index("u3") == 3
    np.testing.assert_array_equal(rating_of(snapshot).user_factors, random_content(21).rating.user_factors)


def test_arrays_are_aligned_for_the_processor(folder: Path, digest: str) -> None:
    snapshot = Snapshot.open(folder, digest)
    for array in (snapshot.item_counts, rating_of(snapshot).user_factors, snapshot.rated.indices):
        assert array.ctypes.data % 64 == 0
