"""What never got a name is cleaned away, but not from under whoever writes it."""

from __future__ import annotations

import os
from datetime import timedelta

from mfserve_registry import Registry
from tests.places import Place


def test_only_old_leftovers_are_cleaned(place: Place, registry: Registry) -> None:
    for name, age in (("old", 90_000), ("new", 0)):
        path = place.staging / name
        path.write_bytes(b"x")
        now = path.stat().st_mtime
        os.utime(path, (now - age, now - age))
    registry.clean_staging()
    assert [path.name for path in place.staging.iterdir()] == ["new"]
    registry.clean_staging(timedelta(seconds=-10))
    assert list(place.staging.iterdir()) == []


def test_what_a_killed_trainer_has_staged_is_removed_when_it_is_old(registry: Registry) -> None:
    staged = registry.snapshots.stage()
    (staged / "ratings.npy").write_bytes(b"half")
    registry.clean_staging()
    assert (staged / "ratings.npy").exists(), "may still be in use"
    registry.clean_staging(timedelta(seconds=-1))
    assert not staged.exists()
