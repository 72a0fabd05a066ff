"""Adds up the pages of all server processes of a start, for Prometheus."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import accumulate
from pathlib import Path
from threading import Lock

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from mfserve_server.metrics.layout import BEGINNINGS, METRICS, SIZE, Kind, Metric
from mfserve_server.metrics.page import BYTES


class Pages(Collector):
    """The pages in a folder.

    What processes have counted that have ended stays; their gauges do not.

    Args:
        folder: of this start.
        is_alive: whether the process of this id has not ended.
    """

    def __init__(self, folder: Path, is_alive: Callable[[int], bool]) -> None:
        self._folder = folder
        self._is_alive = is_alive
        self._ended = array("d", bytes(BYTES))
        self._adding = Lock()

    def collect(self) -> Iterator[Family]:
        with self._adding:  # two may scrape at a time
            living, everything = self._add_up()
        for metric in METRICS:
            yield _family(metric, living if metric.kind is Kind.GAUGE else everything)

    def _add_up(self) -> tuple[array[float], array[float]]:
        living = array("d", bytes(BYTES))
        for path in sorted(self._folder.glob("*.page")):
            with suppress(FileNotFoundError):
                # First: of one that ends from now on the page is whole all the same.
                alive = self._is_alive(int(path.stem))
                page = array("d", path.read_bytes())
                if len(page) < SIZE:
                    continue  # it is just being made
                if alive:
                    _add(living, page)
                else:
                    _add(self._ended, page)
                    path.unlink()
        everything = array("d", living)
        _add(everything, self._ended)
        return living, everything


def _add(total: array[float], page: array[float]) -> None:
    for place, value in enumerate(page):
        if value:
            total[place] += value


def _family(metric: Metric, numbers: Sequence[float]) -> Family:
    labels = [name for name, _ in metric.labels]
    family: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
    if metric.kind is Kind.HISTOGRAM:
        family = HistogramMetricFamily(metric.name, metric.help, labels=labels)
    elif metric.kind is Kind.COUNTER:
        family = CounterMetricFamily(metric.name, metric.help, labels=labels)
    else:
        family = GaugeMetricFamily(metric.name, metric.help, labels=labels)
    start = BEGINNINGS[metric.name]
    for values in metric.combinations():
        found = numbers[start : start + metric.width]
        start += metric.width
        if isinstance(family, HistogramMetricFamily):
            *buckets, total = found
            # A method that nobody has called has no series: there would be hundreds of zeros.
            if any(buckets) or not labels:
                bounds = [f"{bound:g}" for bound in metric.buckets[:-1]] + ["+Inf"]
                family.add_metric(values, list(zip(bounds, accumulate(buckets), strict=True)), total)
        elif found[0] or metric.kind is Kind.GAUGE or not labels:
            family.add_metric(values, found[0])
    return family
