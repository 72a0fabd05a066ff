"""What the parent knows: its server processes, and its certificate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from mfserve_server.children import Child

WORKERS = "mfserve_workers"
RESTARTS = "mfserve_worker_restarts"
EXPIRES = "mfserve_certificate_expires_timestamp_seconds"


class ChildrenNumbers(Collector):
    """Read by another thread than the parent's: single attributes, which are whole at any time.

    Args:
        workers: the server processes.
        expires_at: when the server's certificate does, as the file has it now; None: there is none.
    """

    def __init__(self, workers: Sequence[Child], expires_at: Callable[[], datetime | None]) -> None:
        self._workers = workers
        self._expires_at = expires_at

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            WORKERS, "Server processes that answer.", sum(worker.is_up for worker in self._workers)
        )
        restarts = sum(worker.deaths for worker in self._workers)
        yield CounterMetricFamily(RESTARTS, "Server processes that died and were started again.", restarts)
        if (expires_at := self._expires_at()) is not None:
            yield GaugeMetricFamily(EXPIRES, "When the server's certificate expires.", expires_at.timestamp())
