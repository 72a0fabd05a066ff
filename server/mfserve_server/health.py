"""Health, by the gRPC health protocol.

The whole server ("") and RecommendationService are SERVING from the time that a version is loaded. TrainingService
and ModelService need none and are SERVING at once: otherwise the first training could never be asked for through a
load balancer. All are NOT_SERVING before a drain.

None of it changes while the registry is away: what is loaded answers, and GetServingStatus says what is the matter.
"""

from __future__ import annotations

import asyncio

import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from mfserve_server.security.guard import Context
from mfserve_server.statuses import MODEL, RECOMMENDATION, TRAINING

_NEED_A_VERSION = (health.OVERALL_HEALTH, RECOMMENDATION)
_NEED_NOTHING = (TRAINING, MODEL)


class _Servicer(health.aio.HealthServicer):  # type: ignore[misc] # grpcio-health-checking is untyped
    """grpcio's, but with an end to Watch: a watcher who stays would otherwise use up the whole time of a drain."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: Context) -> None:  # noqa: N802 - the RPC's name
        watching = asyncio.ensure_future(super().Watch(request, context))
        ending = asyncio.ensure_future(self.ended.wait())
        try:
            await asyncio.wait((watching, ending), return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            ending.cancel()
            await asyncio.gather(watching, ending, return_exceptions=True)
        await context.write(health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING))


class Health:
    """Answers health checks of a server."""

    def __init__(self) -> None:
        self._servicer = _Servicer()
        self._answers = False

    async def start(self, server: grpc.aio.Server) -> None:
        """Must come before the server starts: grpcio's servicer says SERVING until told otherwise."""
        for name in _NEED_A_VERSION:
            await self._servicer.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        for name in _NEED_NOTHING:
            await self._servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def a_version_answers(self) -> None:
        if not self._answers:
            self._answers = True
            for name in _NEED_A_VERSION:
                await self._servicer.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def drain(self) -> None:
        """NOT_SERVING, for good."""
        await self._servicer.enter_graceful_shutdown()

    def end_watches(self) -> None:
        self._servicer.ended.set()
