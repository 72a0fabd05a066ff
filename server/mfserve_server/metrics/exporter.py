"""The port from which Prometheus fetches: in the parent, which no call can bring down, apart from the callers' port."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry, start_http_server

from mfserve_registry import Registry
from mfserve_registry.settings import StartError
from mfserve_server.metrics.children_numbers import ChildrenNumbers
from mfserve_server.metrics.collector import Pages
from mfserve_server.metrics.registry_numbers import RegistryNumbers


class Exporter:
    """Serves ``/metrics`` by HTTP, in threads of its own, until ``close``.

    Args:
        host, port: where.
        folder: of this start's pages.
        registry: asked for each scrape; opened without asking it anything.
        children: what the parent knows.

    Raises:
        StartError: the address cannot be listened on.
    """

    def __init__(
        self, host: str, port: int, folder: Path, registry: Registry, children: ChildrenNumbers
    ) -> None:
        collectors = CollectorRegistry()
        collectors.register(Pages(folder))
        collectors.register(children)
        collectors.register(RegistryNumbers(registry))
        try:
            self._server, self._thread = start_http_server(port, host, collectors)
        except OSError as error:
            raise StartError(f"Cannot serve metrics on {host}:{port}: {error.strerror}.") from error

    @property
    def port(self) -> int:
        return int(self._server.server_port)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
