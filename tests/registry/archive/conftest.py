"""A registry that has exported a version; what imports it is the fixture ``registry``."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfserve_registry import Registry, Version
from tests.registry.archive.files import exported


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, migrated: Path) -> Iterator[Registry]:
    home = tmp_path_factory.mktemp("source")
    shutil.copy(migrated, home)
    with Registry.open(home) as opened:
        yield opened


@pytest.fixture(scope="module")
def archived(source: Registry, tmp_path_factory: pytest.TempPathFactory) -> tuple[Version, Path]:
    """A version, and the archive of it."""
    path = tmp_path_factory.mktemp("archive") / "movies-2.mfserve"
    return exported(source, path), path


@pytest.fixture
def archive(archived: tuple[Version, Path]) -> bytes:
    return archived[1].read_bytes()
