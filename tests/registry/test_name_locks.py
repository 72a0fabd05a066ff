"""Locks on names beside an SQLite file: one folder of them, which whoever owns the file can use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mfserve_registry import Registry
from mfserve_registry.database import Database
from tests.places import Place


def test_a_database_has_the_same_locks_through_a_symlink(home: Path, tmp_path: Path) -> None:
    Registry.open(home).close()
    link = tmp_path / "link.db"
    link.symlink_to(home / "registry.db")
    with Place(home).database() as database:
        through = Database(link)
        with database.lock_shared(["a"]), through.lock_alone("a") as lock:
            assert lock is None
        through.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root leaves files of another user")
def test_what_root_locks_the_owner_of_the_database_can_lock_too(home: Path) -> None:
    Registry.open(home).close()
    os.chown(home / "registry.db", 10001, 10002)
    with Place(home).database() as database, database.lock_shared(["a"]), database.lock_alone("b"):
        folder = home / "registry.db-locks"
        made = [(path.stat().st_uid, path.stat().st_gid) for path in (folder, *folder.iterdir())]
    assert made == [(10001, 10002)] * 3
