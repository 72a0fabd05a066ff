"""Snapshots with one of the two heads: what they hold, and which combinations are refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mfserve_registry.canonical import canonical_json
from mfserve_registry.errors import DamagedSnapshot, InvalidArgument
from mfserve_registry.snapshot import Snapshot, SnapshotContent, write_snapshot
from mfserve_registry.snapshot.manifest import FILE_NAME, digest_of
from tests.registry.snapshot.samples import random_content, without_ratings
from tests.registry.snapshot.test_writer import golden_content

GOLDEN = "86f86d6532cfac4f33b78387d5bf2f1097ec19ca96fcf61d81fae1f6b1e867ba"


def test_the_digest_of_a_fixed_snapshot_without_ratings_never_changes(tmp_path: Path) -> None:
    assert write_snapshot(tmp_path, without_ratings(golden_content())) == GOLDEN


@pytest.mark.parametrize("scale", [True, False], ids=["ratings not predicted", "no ratings"])
def test_without_a_rating_head_nothing_of_ratings_is_stored(tmp_path: Path, scale: bool) -> None:
    full = random_content(3)
    content = without_ratings(full) if not scale else replace(without_ratings(full), scale=full.scale)
    snapshot = Snapshot.open(tmp_path, write_snapshot(tmp_path, content))
    assert (snapshot.rating, snapshot.mean_rating) == (None, None)
    assert (snapshot.user_means, snapshot.item_means) == (None, None)
    assert snapshot.scale == (full.scale if scale else None)
    assert not [name for name in snapshot.manifest.arrays if name.startswith("rating_") or "means" in name]
    assert snapshot.ranking is not None
    assert full.ranking is not None
    np.testing.assert_array_equal(snapshot.ranking.item_factors, full.ranking.item_factors)
    assert snapshot.default_head is snapshot.ranking
    manifest = json.loads((tmp_path / FILE_NAME).read_bytes())
    assert (manifest["rating"], manifest["mean_rating"]) == (None, None)


def test_the_rating_head_is_the_default_where_it_is_the_only_one(tmp_path: Path) -> None:
    snapshot = Snapshot.open(tmp_path, write_snapshot(tmp_path, random_content(3, ranking=False)))
    assert snapshot.default_head is snapshot.rating


def test_refuses_heads_that_do_not_go_with_the_rest(tmp_path: Path) -> None:
    full: SnapshotContent = random_content(4)
    bare = without_ratings(full)
    wrong: dict[str, list[SnapshotContent]] = {
        "rating": [replace(bare, ranking=None)],
        "scale": [replace(full, scale=None)],
        "mean_rating": [replace(full, mean_rating=None), replace(bare, mean_rating=3.5)],
        "user_means": [replace(full, user_means=None), replace(bare, user_means=full.user_means)],
        "item_means": [replace(full, item_means=None), replace(bare, item_means=full.item_means)],
    }
    for field, contents in wrong.items():
        for content in contents:
            with pytest.raises(InvalidArgument) as caught:
                write_snapshot(tmp_path / "snapshot", content)
            assert caught.value.field == field
    assert not (tmp_path / "snapshot").exists()


@pytest.mark.parametrize(
    "changes",
    [{"ranking": None}, {"mean_rating": 3.0}, {"rating": None}],
    ids=["no head", "a mean without a head", "arrays without their head"],
)
def test_a_manifest_whose_heads_contradict_it_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    content = random_content(5) if "rating" in changes else without_ratings(random_content(5))
    write_snapshot(tmp_path, content)
    manifest = json.loads((tmp_path / FILE_NAME).read_bytes()) | changes
    data = canonical_json(manifest).encode()
    (tmp_path / FILE_NAME).write_bytes(data)
    with pytest.raises(DamagedSnapshot, match="does not follow format 1 at 'rating'"):
        Snapshot.open(tmp_path, digest_of(data))
