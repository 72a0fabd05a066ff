"""Files that are read again, when they change and when they could not be read."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mfserve_server.security.access import read_access
from mfserve_server.security.files import BadFile, LastGood
from tests.waiting import eventually

ONE = '[[callers]]\nname = "one"\ncertificate = "one"\nscopes = []\n'
TWO = ONE.replace("one", "two")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "callers.toml"
    path.write_text(ONE)
    return path


@contextmanager
def no_file_can_be_opened() -> Iterator[None]:
    """Whoever tries: not even root."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_what_could_not_be_read_is_read_when_it_can_be(path: Path) -> None:
    callers = LastGood([path], lambda: read_access(path).names)
    path.write_text("")
    with no_file_can_be_opened():
        with pytest.raises(BadFile, match="cannot be read: Too many open files"):
            callers.look()
        assert not callers.look()  # and says nothing
    assert callers.found == {"one"}
    assert callers.look()
    assert callers.found == set()
    assert not callers.look()


def test_what_is_wrong_in_itself_is_not_read_until_it_changes(path: Path) -> None:
    readings = []

    def read() -> frozenset[str]:
        readings.append(path)
        return read_access(path).names

    callers = LastGood([path], read)
    path.write_text("[")
    with pytest.raises(BadFile, match="is no TOML"):
        callers.look()
    assert not callers.look()
    assert len(readings) == 2
    path.write_text(TWO)
    assert callers.look()
    assert callers.found == {"two"}


def test_a_change_is_seen_though_time_and_size_are_as_before(path: Path) -> None:
    callers = LastGood([path], lambda: read_access(path).names)
    before = path.stat()

    def replaced() -> bool:
        """Again until the system's clock, which ticks every few milliseconds, has gone on."""
        path.write_text(TWO)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return callers.look()

    eventually(replaced, "the change is seen", 5.0)
    assert callers.found == {"two"}
