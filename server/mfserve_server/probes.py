"""Health by the gRPC health protocol on a port of its own, for probes.

In the parent, which has nothing to do: it answers at once however many call, over plain text where the server speaks
TLS (Kubernetes' probes know no other), and says SERVING as long as any of the server processes does.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mfserve_registry.settings import StartError
from mfserve_server.addresses import reserve
from mfserve_server.health import MODEL, RECOMMENDATION, TRAINING

_THREADS = 4
_WATCHERS = 100
"""Most that follow the health at a time: each has a thread's place, or is refused."""


class Probes:
    """NOT_SERVING until told otherwise.

    Args:
        host, port: where.

    Raises:
        StartError: the address cannot be listened on.
    """

    def __init__(self, host: str, port: int) -> None:
        reserve(host, port).hold.close()  # says what is the matter, where gRPC writes a line of its own
        threads = ThreadPoolExecutor(_THREADS, "probes")
        self._servicer = health.HealthServicer()
        self.tell(up=False, serving=False)
        self._server = grpc.server(
            threads, options=[("grpc.so_reuseport", 0)], maximum_concurrent_rpcs=_WATCHERS
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, self._server)
        try:
            self.port = self._server.add_insecure_port(
                f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            )
        except RuntimeError as error:
            raise StartError(f"Cannot answer health checks on {host}:{port}.") from error
        self._server.start()

    def tell(self, *, up: bool, serving: bool) -> None:
        """What holds now.

        Args:
            up: whether a server process runs.
            serving: whether one has a version to answer from.
        """
        for name, holds in (
            (health.OVERALL_HEALTH, serving),
            (RECOMMENDATION, serving),
            (TRAINING, up),
            (MODEL, up),
        ):
            status = health_pb2.HealthCheckResponse
            self._servicer.set(name, status.SERVING if holds else status.NOT_SERVING)

    def close(self) -> None:
        self._server.stop(None).wait()
