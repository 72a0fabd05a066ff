"""What holds for all tests."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer

from mfserve_registry import Registry
from tests.sharing import ByFile, turn

# A busy machine is no bug (no deadline), and a suite that passed must pass again (the same examples each time).
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: turn(item.nodeid))


@pytest.hookimpl(optionalhook=True)  # none of pytest's own: -p no:xdist leaves it out
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


def pytest_collection() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    """Spares collections of garbage the walk through what was imported, most of it TensorFlow's: that stays."""
    gc.collect()
    gc.freeze()
    gc.enable()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty registry's database file: copying it is quicker than migrating for every test."""
    home = tmp_path_factory.mktemp("migrated")
    Registry.open(home).close()
    return home / "registry.db"
