"""A registry in a fresh folder, with a clock that only the test moves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfserve_registry import Registry
from tests.registry.helpers import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def registry(home: Path, clock: Clock, migrated: Path) -> Iterator[Registry]:
    home.mkdir()
    shutil.copy(migrated, home)
    with Registry.open(home, clock=clock) as opened:
        yield opened
