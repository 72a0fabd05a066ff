"""A server process's numbers, in a file that it maps: who reads the file sees them, also after the process was killed.

Counting is an addition in memory, a tenth of a microsecond: a lock, or a library's file format, would cost 3 % of a
call.
"""

from __future__ import annotations

import mmap
from bisect import bisect_left
from pathlib import Path
from uuid import uuid4

from mfserve_server.mapped import mapped
from mfserve_server.metrics.layout import BEGINNINGS, SIZE, Metric

BYTES = SIZE * 8


def new_page(folder: Path) -> Path:
    """Where a process has its page. Not by its number, which another may have had and may have next."""
    return folder / f"{uuid4()}.page"


class Page:
    """Numbers of one process. Written by its event loop alone.

    Args:
        path: a new file, which stays locked (flock) while this process lives; None: nobody reads it, nor where there is
            no room for one.

    Attributes:
        numbers: float64, of ``SIZE``.
    """

    def __init__(self, path: Path | None = None) -> None:
        made = mmap.mmap(-1, BYTES) if path is None else mapped(path, BYTES, own=True)
        self.numbers = memoryview(made).cast("d")

    def place(self, metric: Metric, *labels: str) -> int:
        """The first of the numbers of these labels; to be looked up once, and not for each call."""
        return BEGINNINGS[metric.name] + metric.place(*labels)

    def counter(self, metric: Metric, *labels: str) -> Number:
        return Number(self, self.place(metric, *labels))

    def histogram(self, metric: Metric, *labels: str) -> Histogram:
        return Histogram(self, self.place(metric, *labels), metric.buckets)

    gauge = counter


class Number:
    """A counter or a gauge of a page."""

    def __init__(self, page: Page, place: int) -> None:
        self._numbers = page.numbers
        self._place = place

    def add(self, value: float = 1.0) -> None:
        self._numbers[self._place] += value

    def set(self, value: float) -> None:
        self._numbers[self._place] = value


class Histogram:
    """A histogram of a page."""

    def __init__(self, page: Page, place: int, buckets: tuple[float, ...]) -> None:
        self._numbers = page.numbers
        self._place = place
        self._buckets = buckets
        self._sum = place + len(buckets)

    def observe(self, value: float) -> None:
        self._numbers[self._place + bisect_left(self._buckets, value)] += 1
        self._numbers[self._sum] += value
