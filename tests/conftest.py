"""What holds for all tests."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling

from mfserve_registry import Registry

TESTS = Path(__file__).parent

# A busy machine is no bug (no deadline), and a suite that passed must pass again (the same examples each time).
settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.load_profile("repeatable")


class ByFile(LoadGroupScheduling):  # type: ignore[misc] # untyped to mypy; deriving from it is meant
    """Spreads files, not tests, over the processes of ``make test``: what a file's tests share is made once.

    Tests of one ``xdist_group`` stay together too, whatever file they are in.
    """

    def _split_scope(self, nodeid: str) -> str:
        return str(super()._split_scope(nodeid)).partition("::")[0]


SHORT = {"registry", "scoring"}
"""Folders whose files take a few seconds each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps short files for the end: the processes come to it together, none of them with minutes still before it."""
    items.sort(key=lambda item: not SHORT.isdisjoint(item.path.parent.relative_to(TESTS).parts))


@pytest.hookimpl(optionalhook=True)  # none of pytest's own: -p no:xdist leaves it out
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByFile:
    return ByFile(config, log)


def pytest_collection_finish() -> None:
    """Spares collections of garbage the walk through what was imported, most of it TensorFlow's: that stays."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty registry's database file: copying it is quicker than migrating for every test."""
    home = tmp_path_factory.mktemp("migrated")
    Registry.open(home).close()
    return home / "registry.db"
