"""Ratings in a file, and registries that trainers work on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mfserve_registry import Registry
from tests.trainer.engines.synthetic import low_rank
from tests.trainer.samples import write_csv


@pytest.fixture(scope="session")
def csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Low-rank ratings as a CSV file, alone in its folder."""
    return write_csv(low_rank()[0], tmp_path_factory.mktemp("data") / "low-rank.csv")


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry.open(tmp_path / "home") as opened:
        yield opened


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"
