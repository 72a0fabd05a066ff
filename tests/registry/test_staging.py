from __future__ import annotations

from datetime import timedelta

from mfserve_registry import Registry


def test_what_a_killed_trainer_has_staged_is_removed_when_it_is_old(registry: Registry) -> None:
    staged = registry.snapshots.stage()
    (staged / "ratings.npy").write_bytes(b"half")
    registry.clean_staging()
    assert (staged / "ratings.npy").exists(), "may still be in use"
    registry.clean_staging(timedelta(seconds=-1))
    assert not staged.exists()
