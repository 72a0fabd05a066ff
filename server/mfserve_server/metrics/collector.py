"""Adds up the pages of all server processes of a start, for Prometheus."""

from __future__ import annotations

import fcntl
from array import array
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from mfserve_server.metrics.layout import BEGINNINGS, METRICS, SIZE, Kind, Metric
from mfserve_server.metrics.page import BYTES

_NOTHING = array("d", bytes(BYTES))


class Pages(Collector):
    """The pages in a folder.

    What processes have counted that have ended stays; their gauges do not.

    Args:
        folder: of this start.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ended = _NOTHING
        self._adding = Lock()

    def collect(self) -> Iterator[Family]:
        with self._adding:  # two may scrape at a time
            living = self._living()
            now = _sum(living)
            numbers = dict.fromkeys(Kind, _sum([now, self._ended]))
        numbers |= {Kind.GAUGE: now, Kind.EARLIEST: _earliest(living)}
        for metric in METRICS:
            yield _family(metric, numbers[metric.kind])

    def _living(self) -> list[array[float]]:
        """Their pages; those of others are added to what has ended, and removed."""
        living = []
        for path in sorted(self._folder.glob("*.page")):
            with suppress(FileNotFoundError), path.open("rb") as file:
                # First: of one that ends from now on the page is whole all the same.
                alive = _is_locked(file)
                page = array("d", file.read())
                if len(page) < SIZE:
                    continue  # it is just being made
                if alive:
                    living.append(page)
                else:
                    self._ended = _sum([self._ended, page])
                    path.unlink()
        return living


def _is_locked(file: BinaryIO) -> bool:
    """Whether the page's process lives."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def _sum(pages: Iterable[array[float]]) -> array[float]:
    return array("d", map(sum, zip(_NOTHING, *pages, strict=True)))


def _earliest(pages: Iterable[array[float]]) -> array[float]:
    """Of each number the least that is one; 0 where there is none."""
    return array(
        "d", (min(filter(None, values), default=0.0) for values in zip(_NOTHING, *pages, strict=True))
    )


def _family(metric: Metric, numbers: Sequence[float]) -> Family:
    labels = [name for name, _ in metric.labels]
    family: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
    if metric.kind is Kind.HISTOGRAM:
        family = HistogramMetricFamily(metric.name, metric.help, labels=labels)
    elif metric.kind is Kind.COUNTER:
        family = CounterMetricFamily(metric.name, metric.help, labels=labels)
    else:
        family = GaugeMetricFamily(metric.name, metric.help, labels=labels)
    is_always_told = metric.kind is Kind.GAUGE or (not labels and metric.kind is not Kind.EARLIEST)
    start = BEGINNINGS[metric.name]
    for values in metric.combinations():
        found = numbers[start : start + metric.width]
        start += metric.width
        if isinstance(family, HistogramMetricFamily):
            *buckets, total = found
            # A method that nobody has called has no series: there would be hundreds of zeros.
            if any(buckets) or is_always_told:
                bounds = [f"{bound:g}" for bound in metric.buckets[:-1]] + ["+Inf"]
                family.add_metric(values, list(zip(bounds, accumulate(buckets), strict=True)), total)
        elif found[0] or is_always_told:
            family.add_metric(values, found[0])
    return family
