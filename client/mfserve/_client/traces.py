"""Calls in the trace of the program that makes them, where it uses OpenTelemetry; nothing is imported where not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any

import grpc

from mfserve._client.tokens import Metadata
from mfserve.errors import StatusError
from mfserve.v1 import model_service_pb2, recommendation_service_pb2, training_service_pb2

_API = "opentelemetry.trace"
_UNTRACED: AbstractContextManager[None] = nullcontext()


def call_span(request: Any) -> AbstractContextManager[None]:
    """A client's span around the call with this request."""
    return _UNTRACED if _API not in sys.modules else _span(request)


def trace_metadata() -> Metadata:
    """Tells the server of the current span (W3C Trace Context), if there is one.

    Not of its baggage: that is the program's own, and may name people.
    """
    if _API not in sys.modules:
        return ()
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return tuple(carrier.items())


@contextmanager
def _span(request: Any) -> Iterator[None]:
    from opentelemetry.trace import SpanKind, StatusCode, get_tracer

    service, method = _methods()[request.DESCRIPTOR.full_name]
    span_of = get_tracer("mfserve").start_as_current_span(
        f"{service}/{method}",
        kind=SpanKind.CLIENT,
        attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        # Messages of errors may name people.
        record_exception=False,
        set_status_on_exception=False,
    )
    with span_of as span:
        try:
            yield
        except StatusError as error:
            span.set_attribute("rpc.grpc.status_code", grpc.StatusCode[error.code].value[0])
            span.set_status(StatusCode.ERROR, error.code)
            raise
        span.set_attribute("rpc.grpc.status_code", 0)


@cache
def _methods() -> dict[str, tuple[str, str]]:
    """Service and method by the full name of their requests: no two have the same."""
    return {
        method.input_type.full_name: (service.full_name, method.name)
        for file in (model_service_pb2, recommendation_service_pb2, training_service_pb2)
        for service in file.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    }
