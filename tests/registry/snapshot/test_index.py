"""Snapshots whose ranking head has an approximate index; others' bytes stay as they were (test_writer)."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mfserve_registry.errors import DamagedSnapshot, InvalidArgument
from mfserve_registry.snapshot import Snapshot, SnapshotContent, verify_snapshot, write_snapshot
from mfserve_registry.snapshot.content import ItemIndex
from mfserve_registry.snapshot.manifest import FILE_NAME
from tests.registry.snapshot.samples import random_content
from tests.registry.snapshot.test_writer import golden_content

GOLDEN = "df46e923f77a33133a39e53d01d30f5f3e0b2924c7d1b6a5dc17080cddaf3ae3"


def with_index(content: SnapshotContent, **changes: object) -> SnapshotContent:
    assert content.ranking is not None
    index = replace(ItemIndex(np.arange(200, dtype=np.uint8), 3, 0.9375), **changes)  # type: ignore[arg-type]
    return replace(content, ranking=replace(content.ranking, index=index))


def test_the_index_comes_back_and_the_manifest_lists_it(tmp_path: Path) -> None:
    snapshot = Snapshot.open(tmp_path, write_snapshot(tmp_path, with_index(random_content(1))))
    assert snapshot.ranking is not None
    index = snapshot.ranking.index
    assert index is not None
    assert (index.probes, index.recall) == (3, 0.9375)
    np.testing.assert_array_equal(index.data, np.arange(200, dtype=np.uint8))
    assert not index.data.flags.writeable
    manifest = json.loads((tmp_path / FILE_NAME).read_bytes())
    assert manifest["format"] == 1
    assert manifest["ranking"]["index"] == {"kind": "faiss-ivf", "probes": 3, "recall": 0.9375}
    assert manifest["arrays"]["ranking_index"]["bytes"] == (tmp_path / "ranking_index.npy").stat().st_size


def test_a_head_without_an_index_says_nothing_of_it(tmp_path: Path) -> None:
    write_snapshot(tmp_path, random_content(1))
    assert "index" not in json.loads((tmp_path / FILE_NAME).read_bytes())["ranking"]


def test_digest_is_pinned(tmp_path: Path) -> None:
    assert write_snapshot(tmp_path, with_index(golden_content())) == GOLDEN


@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
def test_a_damaged_file_is_refused(tmp_path: Path, damage: str) -> None:
    digest = write_snapshot(tmp_path, with_index(random_content(1)))
    file = tmp_path / "ranking_index.npy"
    data = file.read_bytes()
    file.unlink()
    if damage == "cut":
        file.write_bytes(data[:-1])
    elif damage == "changed":
        file.write_bytes(data[:-1] + b"\0")
    for read in (Snapshot.open, verify_snapshot):
        with pytest.raises(DamagedSnapshot, match=r"ranking_index\.npy"):
            read(tmp_path, digest)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"probes": 0}, "probes"),
        ({"recall": 1.5}, "recall"),
        ({"data": np.zeros(3, np.int32)}, "ranking_index"),
    ],
)
def test_an_impossible_index_is_not_written(tmp_path: Path, changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidArgument, match=field):
        write_snapshot(tmp_path, with_index(random_content(1), **changes))
