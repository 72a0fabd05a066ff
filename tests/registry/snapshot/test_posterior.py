"""Snapshots of a Bayesian rating head: its samples are kept with it, and others' bytes stay as they were."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from mfserve_registry.canonical import canonical_json
from mfserve_registry.errors import DamagedSnapshot, InvalidArgument
from mfserve_registry.snapshot import Snapshot, write_snapshot
from mfserve_registry.snapshot.content import Posterior
from mfserve_registry.snapshot.manifest import FILE_NAME, digest_of
from tests.registry.snapshot.samples import random_content, with_posterior


def test_every_array_comes_back_read_only(tmp_path: Path) -> None:
    content = with_posterior(random_content(1))
    snapshot = Snapshot.open(tmp_path, write_snapshot(tmp_path, content))
    assert snapshot.rating is not None
    stored, written = snapshot.rating.posterior, content.rating.posterior
    assert stored is not None
    assert written is not None
    for field in fields(Posterior):
        array = getattr(stored, field.name)
        np.testing.assert_array_equal(array, getattr(written, field.name))
        assert not array.flags.writeable


def test_a_head_without_samples_says_nothing_of_them(tmp_path: Path) -> None:
    snapshot = Snapshot.open(tmp_path, write_snapshot(tmp_path, random_content(1)))
    assert snapshot.rating is not None
    assert snapshot.rating.posterior is None
    assert "posterior" not in json.loads((tmp_path / FILE_NAME).read_bytes())["rating"]


@pytest.mark.parametrize("name", [field.name for field in fields(Posterior)])
def test_refuses_an_array_that_is_not_finite_or_has_another_shape(tmp_path: Path, name: str) -> None:
    content = with_posterior(random_content(1))
    assert content.rating.posterior is not None
    right = getattr(content.rating.posterior, name)
    infinite = right.copy()
    infinite.flat[-1] = np.nan
    for wrong in (infinite, right[:-1], right.astype(np.float64)):
        posterior = replace(content.rating.posterior, **{name: wrong})
        bad = replace(content, rating=replace(content.rating, posterior=posterior))
        with pytest.raises(InvalidArgument, match=f"rating_{name}"):
            write_snapshot(tmp_path / "bad", bad)
    assert not (tmp_path / "bad").exists()


@pytest.mark.parametrize("shape", [(7, 1, 3), (7, 5, 1), (7, 15)])
def test_refuses_samples_of_which_no_deviation_comes(tmp_path: Path, shape: tuple[int, ...]) -> None:
    content = with_posterior(random_content(1))
    assert content.rating.posterior is not None
    posterior = replace(content.rating.posterior, user_samples=np.zeros(shape, dtype=np.float32))
    with pytest.raises(InvalidArgument, match="rating_user_samples"):
        write_snapshot(tmp_path, replace(content, rating=replace(content.rating, posterior=posterior)))


def test_a_manifest_with_other_sizes_is_refused(tmp_path: Path) -> None:
    write_snapshot(tmp_path, with_posterior(random_content(1)))
    manifest = json.loads((tmp_path / FILE_NAME).read_bytes())
    for change in ({"samples": 6, "width": 3}, None):
        data = canonical_json({**manifest, "rating": {**manifest["rating"], "posterior": change}}).encode()
        (tmp_path / FILE_NAME).write_bytes(data)
        with pytest.raises(DamagedSnapshot, match="rating_"):
            Snapshot.open(tmp_path, digest_of(data))
