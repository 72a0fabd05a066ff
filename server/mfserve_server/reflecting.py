"""Tells callers the protos (gRPC server reflection), where settings ask for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import grpc
import grpc.aio
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from mfserve_registry.errors import Overloaded
from mfserve_server.admission.gate import Gate
from mfserve_server.security.guard import Context
from mfserve_server.statuses import SERVICE


class _Servicer(reflection.aio.ReflectionServicer):  # type: ignore[misc] # grpcio-reflection is untyped
    """grpcio's, with a bound to how many ask at a time."""

    def __init__(self, names: Sequence[str], gate: Gate) -> None:
        super().__init__(names)
        self._gate = gate

    async def ServerReflectionInfo(  # noqa: N802 - the RPC's name
        self, requests: AsyncIterator[ServerReflectionRequest], context: Context
    ) -> AsyncIterator[ServerReflectionResponse]:
        try:
            self._gate.enter()
        except Overloaded as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, error.message)
        try:
            async for response in super().ServerReflectionInfo(requests, context):
                yield response
        finally:
            self._gate.leave()


def tell_protos(server: grpc.aio.Server, names: Sequence[str], gate: Gate) -> None:
    """Of the services of these names, and of health and reflection themselves.

    Args:
        gate: places for those who ask.
    """
    servicer = _Servicer([*names, SERVICE, reflection.SERVICE_NAME], gate)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(servicer, server)
