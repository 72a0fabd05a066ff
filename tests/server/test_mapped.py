"""What processes count together, on a disk that fills."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from mfserve_registry.errors import Overloaded
from mfserve_server.admission.rates import Rates
from mfserve_server.mapped import mapped
from mfserve_server.metrics.layout import SWAPS
from mfserve_server.metrics.page import BYTES, Page
from tests.disks import filled, small_disk


def test_two_who_map_a_file_see_the_same(tmp_path: Path) -> None:
    with closing(mapped(tmp_path / "folder" / "file", 16)) as one:
        one[3] = 7
        with closing(mapped(tmp_path / "folder" / "file", 16)) as other:
            assert other[:] == one[:] == bytes([0, 0, 0, 7, *[0] * 12])


def test_all_of_a_file_has_its_place_before_it_is_written_to(tmp_path: Path) -> None:
    with closing(mapped(tmp_path / "file", BYTES)):
        assert (tmp_path / "file").stat().st_blocks * 512 >= BYTES


def test_a_full_disk_ends_nobody_who_counts(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk", 1 << 20) as disk,
        filled(disk, but=0),
        closing(Rates(disk / "rates")) as rates,
        capture_logs() as logs,
    ):
        page = Page(disk / "1.page")
        page.counter(SWAPS).add(2)
        assert page.numbers[page.place(SWAPS)] == 2
        rates.take("shop", 0.5)
        with pytest.raises(Overloaded):
            rates.take("shop", 0.5)
    assert [log["message"] for log in logs] == ["No space left on device"] * 2
