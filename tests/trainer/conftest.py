"""Ratings in a file, and registries that trainers work on."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfserve_registry import Registry
from mfserve_trainer import training
from tests.trainer.engines.synthetic import low_rank
from tests.trainer.samples import write_csv


@pytest.fixture(scope="session")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Low-rank ratings as a CSV file, alone in its folder."""
    return write_csv(low_rank()[0], tmp_path_factory.mktemp("data") / "low-rank.csv")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains without pictures, which nobody looks at here: they take most of a small training's time."""
    monkeypatch.setattr(training, "draw", lambda *parts: [])
    monkeypatch.setattr("mfserve_trainer.engines.network_pictures._drawn", lambda dot: None)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def registry(home: Path, migrated: Path) -> Iterator[Registry]:
    home.mkdir()
    shutil.copy(migrated, home)
    with Registry.open(home) as opened:
        yield opened
