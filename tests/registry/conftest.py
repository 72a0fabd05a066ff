"""A registry of each kind, with a clock that only the test moves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfserve_registry import Registry
from tests.backends import KINDS, bucket, place_of, postgres
from tests.places import Place
from tests.registry.helpers import Clock

__all__ = ["bucket", "postgres"]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(params=KINDS)
def empty(home: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Where nobody has opened a registry yet."""
    with place_of(request.param, home, request, migrated=False) as place:
        yield place


@pytest.fixture(params=KINDS)
def place(home: Path, migrated: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    """Where a registry is that is empty."""
    home.mkdir()
    if request.param == "sqlite-folder":
        shutil.copy(migrated, home)
    with place_of(request.param, home, request) as place:
        yield place


@pytest.fixture
def registry(place: Place, clock: Clock) -> Iterator[Registry]:
    with place.open(clock=clock) as opened:
        yield opened
