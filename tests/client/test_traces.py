"""Calls of a program that uses OpenTelemetry."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass
from opentelemetry import baggage, context, trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from mfserve.errors import NotFoundError, UnauthenticatedError
from tests.client.conftest import Connect, Serve
from tests.client.services import METHODS, fail
from tests.client.test_every_rpc import CALLS
from tests.tracing import named, of_this_program, parent_of


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    exporter = of_this_program()
    exporter.clear()
    yield exporter
    exporter.clear()


@pytest.mark.parametrize("name", CALLS)
async def test_every_call_is_in_the_trace_of_its_program(
    serve: Serve, connect: Connect, spans: InMemorySpanExporter, name: str
) -> None:
    sent: list[dict[str, Any]] = []

    def refuse(request: Any, call: Any) -> Any:
        sent.append(dict(call.invocation_metadata()))
        fail(call, grpc.StatusCode.UNAUTHENTICATED, reason="UNAUTHENTICATED")

    server = serve(**{name: refuse})
    with trace.get_tracer("program").start_as_current_span("program") as program:
        token = context.attach(baggage.set_baggage("user", "u1"))
        with pytest.raises(UnauthenticatedError):
            await CALLS[name](connect(server.address))
        context.detach(token)
    (metadata,) = sent
    assert metadata["traceparent"].split("-")[1] == f"{program.get_span_context().trace_id:032x}"
    assert "u1" not in str(metadata)


async def test_a_call_with_one_answer_is_a_span(
    serve: Serve, connect: Connect, spans: InMemorySpanExporter
) -> None:
    sent: list[str] = []

    def delete(request: Any, call: Any) -> Any:
        sent.append(dict(call.invocation_metadata())["traceparent"])
        if request.version == 2:
            fail(call, grpc.StatusCode.NOT_FOUND, reason="VERSION_NOT_FOUND")
        return GetMessageClass(METHODS["DeleteModelVersion"].output_type)()

    client = connect(serve(DeleteModelVersion=delete).address)
    with trace.get_tracer("program").start_as_current_span("program"):
        await client.delete_version("movies", 1)
    span, program = named(spans, "mfserve.v1.ModelService/DeleteModelVersion"), named(spans, "program")
    assert parent_of(span) == program.context.span_id
    (traceparent,) = sent
    assert traceparent.startswith(f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-")
    assert span.kind is trace.SpanKind.CLIENT
    assert span.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "mfserve.v1.ModelService",
        "rpc.method": "DeleteModelVersion",
        "rpc.grpc.status_code": 0,
    }

    spans.clear()
    with pytest.raises(NotFoundError):
        await client.delete_version("movies", 2)
    failed = named(spans, "mfserve.v1.ModelService/DeleteModelVersion")
    assert failed.attributes is not None
    assert failed.attributes["rpc.grpc.status_code"] == 5
    assert (failed.status.status_code, failed.status.description) == (trace.StatusCode.ERROR, "NOT_FOUND")
    assert not failed.events


def test_a_program_without_opentelemetry_does_not_get_it(serve: Serve) -> None:
    def delete(request: Any, call: Any) -> Any:
        assert "traceparent" not in dict(call.invocation_metadata())
        return GetMessageClass(METHODS["DeleteModel"].output_type)()

    server = serve(DeleteModel=delete)
    program = f"import sys, mfserve; mfserve.Client({server.address!r}).delete_model('movies'); "
    program += "sys.exit('opentelemetry' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
