"""What the parent knows of its server processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mfserve_server.children import Child

WORKERS = "mfserve_workers"
RESTARTS = "mfserve_worker_restarts"


class ChildrenNumbers(Collector):
    """Read by another thread than the parent's: single attributes, which are whole at any time.

    Args:
        workers: the server processes.
        deaths: how many have died since the parent started, those included whose place another has taken.
    """

    def __init__(self, workers: Sequence[Child], deaths: Callable[[], int]) -> None:
        self._workers = workers
        self._deaths = deaths

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            WORKERS, "Server processes that answer.", sum(worker.is_up for worker in self._workers)
        )
        yield CounterMetricFamily(
            RESTARTS, "Server processes that died and were started again.", self._deaths()
        )
