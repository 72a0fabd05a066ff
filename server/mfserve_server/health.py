"""Health of a server process, by the gRPC health protocol: Check and Watch.

RecommendationService and the whole server are SERVING from the time that a version is loaded. All are NOT_SERVING
before a drain. None of it changes while the registry is away: what is loaded answers, and GetServingStatus says what is
the matter.
"""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from mfserve_registry.errors import Overloaded
from mfserve_server.admission.gate import Gate
from mfserve_server.security.guard import Context
from mfserve_server.statuses import SERVICE, Statuses


class Health:
    """Answers health checks of a server.

    Args:
        gate: places for those who watch.
    """

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._statuses = Statuses()
        self._statuses.tell(up=True, serving=False)
        self._draining = self._over = False
        self._changed = asyncio.Event()

    def register(self, server: grpc.aio.Server) -> None:
        watch = grpc.unary_stream_rpc_method_handler(
            self._watch, HealthCheckRequest.FromString, HealthCheckResponse.SerializeToString
        )
        methods = {"Check": self._statuses.check, "Watch": watch}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))

    def a_version_answers(self) -> None:
        if not self._draining:
            self._statuses.tell(up=True, serving=True)
            self._wake()

    def drain(self) -> None:
        """NOT_SERVING, for good."""
        self._draining = True
        self._statuses.tell(up=False, serving=False)
        self._wake()

    def end_watches(self) -> None:
        """Each watcher who reads is told how it stands, and then no more: one who stays would use up a drain's time."""
        self._over = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _watch(self, request: HealthCheckRequest, context: Context) -> None:
        try:
            self._gate.enter()
        except Overloaded as error:
            # A gRPC client that watches does without a server that fails to tell, but for this status (gRFC A17).
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, error.message)
        try:
            await self._follow(request.service, context)
        finally:
            self._gate.leave()

    async def _follow(self, service: str, context: Context) -> None:
        """Tells each change, of which one who reads slowly misses some. Nobody waits until it is written."""
        told = None
        while True:
            changed, over, response = self._changed, self._over, self._statuses.of(service)
            if response != told:
                await context.write(response)
                told = response
            if over:
                return
            await changed.wait()
