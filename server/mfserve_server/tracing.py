"""A span for each call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from google.protobuf.descriptor import MethodDescriptor
from grpc.aio import ServicerContext

from mfserve_server.metrics.layout import CODES
from mfserve_server.served import ServedVersions

if TYPE_CHECKING:
    from mfserve_registry.traces.spans import Traces

Context = ServicerContext[Any, Any]
Handle = Callable[[Any, Context], Awaitable[Any]]

_KEYS = {"traceparent", "tracestate"}
_OUR_FAULT = {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
"""Statuses by which a server has failed, and not its caller (OpenTelemetry's semantic conventions of gRPC)."""


class CallTraces:
    """Of one method."""

    def __init__(self, traces: Traces, method: MethodDescriptor) -> None:
        service = method.containing_service.full_name
        self._traces = traces
        self._name = f"{service}/{method.name}"
        self._attributes = {"rpc.system": "grpc", "rpc.service": service, "rpc.method": method.name}
        self._versions = ServedVersions(method)

    def around(self, handle: Handle) -> Handle:
        """The same, as a span in the caller's trace."""
        from opentelemetry.trace import SpanKind

        async def traced(request: Any, context: Context) -> Any:
            metadata = context.invocation_metadata() or ()
            parent = {key: value for key, value in metadata if key in _KEYS and isinstance(value, str)}
            with self._traces.span(self._name, SpanKind.SERVER, parent, self._attributes):
                return await handle(request, context)

        return traced

    def tell(self, code: int, caller: str | None, response: bytes | None) -> None:
        """Says in the current span how its call ended. Neither what was asked nor what was answered."""
        from opentelemetry.trace import StatusCode, get_current_span

        span = get_current_span()
        if not span.is_recording():
            return
        span.set_attribute("rpc.grpc.status_code", code)
        for name, value in self._versions.of(response).items():
            span.set_attribute(f"mfserve.{name}", value)
        if caller is not None:
            span.set_attribute("mfserve.caller", caller)
        if CODES[code] in _OUR_FAULT:
            span.set_status(StatusCode.ERROR, CODES[code])
