"""Snapshots of a Bayesian rating head: its samples are kept with it, and others' bytes stay as they were."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest

from mfserve_registry.canonical import canonical_json
from mfserve_registry.errors import DamagedSnapshot, InvalidArgument
from mfserve_registry.snapshot import Snapshot, write_snapshot
from mfserve_registry.snapshot.content import Posterior
from mfserve_registry.snapshot.manifest import FILE_NAME, digest_of
from tests.registry.snapshot.samples import random_content, with_posterior
from tests.registry.snapshot.test_writer import golden_content

GOLDEN = "163f9e7e13573bede6801c148b15476138d2d136e77dea073d008c2a4caab482"


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


def test_a_variance_is_above_zero(tmp_path: Path) -> None:
    content = with_posterior(random_content(1))
    posterior = content.rating.posterior
    assert posterior is not None
    none = replace(posterior, user_noise=np.zeros_like(posterior.user_noise))
    with pytest.raises(InvalidArgument, match="rating_user_noise must hold variances above 0"):
        write_snapshot(tmp_path / "bad", replace(content, rating=replace(content.rating, posterior=none)))
    # Another writer may not have looked.
    digest = write_snapshot(tmp_path, content)
    manifest = json.loads((tmp_path / FILE_NAME).read_bytes())
    file = tmp_path / "rating_user_noise.npy"
    data = bytearray(file.read_bytes())
    data[-4:] = np.float32(-1).tobytes()
    file.write_bytes(data)
    manifest["arrays"]["rating_user_noise"]["sha256"] = sha256(data).hexdigest()
    (tmp_path / FILE_NAME).write_bytes(canonical_json(manifest).encode())
    digest = digest_of((tmp_path / FILE_NAME).read_bytes())
    with pytest.raises(DamagedSnapshot, match="not above 0"):
        Snapshot.open(tmp_path, digest)


def test_a_posterior_goes_with_a_bias_that_is_folded_in(tmp_path: Path) -> None:
    content = with_posterior(random_content(1))
    with pytest.raises(ValueError, match="folds the bias in"):
        write_snapshot(tmp_path, replace(content, rating=replace(content.rating, folds_bias=False)))


def test_the_digest_of_a_fixed_snapshot_with_a_posterior_never_changes(tmp_path: Path) -> None:
    content = golden_content()
    rating = content.rating
    assert rating is not None
    users, items = len(content.user_ids), len(content.item_ids)
    width = rating.item_factors.shape[1] + 1
    posterior = Posterior(
        user_samples=np.arange(users * 2 * 3, dtype=np.float32).reshape(users, 2, 3),
        item_samples=-np.arange(items * 2 * 3, dtype=np.float32).reshape(items, 2, 3),
        user_noise=np.arange(1, users + 1, dtype=np.float32),
        prior_mean=np.zeros(width, dtype=np.float32),
        prior_precision=np.eye(width, dtype=np.float32),
    )
    bayesian = replace(content, rating=replace(rating, folds_bias=True, posterior=posterior))
    assert write_snapshot(tmp_path, bayesian) == GOLDEN


def test_a_manifest_with_other_sizes_is_refused(tmp_path: Path) -> None:
    write_snapshot(tmp_path, with_posterior(random_content(1)))
    manifest = json.loads((tmp_path / FILE_NAME).read_bytes())
    for change in ({"samples": 6, "width": 3}, None):
        data = canonical_json({**manifest, "rating": {**manifest["rating"], "posterior": change}}).encode()
        (tmp_path / FILE_NAME).write_bytes(data)
        with pytest.raises(DamagedSnapshot, match="rating_"):
            Snapshot.open(tmp_path, digest_of(data))
