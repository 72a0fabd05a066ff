"""What the parent knows of its server processes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

WORKERS = "mfserve_workers"
RESTARTS = "mfserve_worker_restarts"


class Fleet(Protocol):
    """The part of ``mfserve_server.fleet.Fleet`` that is needed here."""

    @property
    def count(self) -> int: ...
    @property
    def deaths(self) -> int: ...


class ChildrenNumbers(Collector):
    """Read by another thread than the parent's: single attributes, which are whole at any time.

    Args:
        fleet: the server processes.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(WORKERS, "Server processes that answer.", self._fleet.count)
        yield CounterMetricFamily(
            RESTARTS, "Server processes that died and were started again.", self._fleet.deaths
        )
