"""A collector of traces: takes them by OTLP and keeps them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2_grpc as services
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Collector(services.TraceServiceServicer):
    """Its spans have the name of their service with them."""

    def __init__(self) -> None:
        self.endpoint = ""
        self._spans: list[tuple[str, Span]] = []
        self._lock = threading.Lock()

    def Export(  # noqa: N802 - the RPC's name
        self, request: pb.ExportTraceServiceRequest, context: Any
    ) -> pb.ExportTraceServiceResponse:
        with self._lock:
            for group in request.resource_spans:
                named = {each.key: each.value.string_value for each in group.resource.attributes}
                for scope in group.scope_spans:
                    self._spans += [(named["service.name"], span) for span in scope.spans]
        return pb.ExportTraceServiceResponse()

    def of(self, trace: bytes) -> list[tuple[str, Span]]:
        """Services and spans of a trace that have come until now."""
        with self._lock:
            return [each for each in self._spans if each[1].trace_id == trace]


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port."""
    collector = Collector()
    server = grpc.server(ThreadPoolExecutor(2))
    services.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call] # generated
    collector.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield collector
    finally:
        server.stop(None).wait()
