"""Spans of a server's calls."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from datetime import timedelta

import grpc.aio
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from mfserve.v1 import model_service_pb2 as models_pb
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1 import training_service_pb2 as training_pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve_registry import Registry
from mfserve_registry.traces.spans import ExportLog, ReportingExporter, Traces
from tests.server.calls import DEADLINE
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.tracing import in_memory, named, parent_of
from tests.waiting import until

LIBRARY = logging.getLogger("opentelemetry.test")
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SAMPLED = (("traceparent", f"00-{TRACE}-{SPAN}-01"), ("tracestate", "vendor=7"))
NOT_SAMPLED = (("traceparent", f"00-{TRACE}-{SPAN}-00"),)


@pytest.fixture
def spans() -> tuple[Traces, InMemorySpanExporter]:
    provider, exporter = in_memory()
    return Traces(provider), exporter


async def test_a_call_is_a_span_in_its_callers_trace_and_tells_nothing_of_people(
    serve: MakeServer, registry: Registry, spans: tuple[Traces, InMemorySpanExporter]
) -> None:
    publish(registry)
    traces, exporter = spans
    server = await serve(traces=traces)
    asked = pb.RecommendRequest(model_spec=ModelSpec(model="movies"), user_id="u1")
    await server.recommendations.Recommend(asked, timeout=DEADLINE, metadata=SAMPLED)
    await until(lambda: bool(exporter.get_finished_spans()))
    span = named(exporter, "mfserve.v1.RecommendationService/Recommend")
    assert (span.context.trace_id, parent_of(span)) == (int(TRACE, 16), int(SPAN, 16))
    assert span.kind is SpanKind.SERVER
    assert span.attributes == {
        "rpc.system": "grpc",
        "rpc.service": "mfserve.v1.RecommendationService",
        "rpc.method": "Recommend",
        "rpc.grpc.status_code": 0,
        "mfserve.model": "movies",
        "mfserve.version": 1,
    }
    assert "u1" not in span.to_json()

    exporter.clear()
    with pytest.raises(grpc.aio.AioRpcError):
        await server.models.GetModel(models_pb.GetModelRequest(model="u1"), timeout=DEADLINE)
    stream = server.recommendations.StreamRecommend(timeout=DEADLINE, metadata=(("traceparent", "nonsense"),))
    await stream.done_writing()
    with pytest.raises(grpc.aio.AioRpcError):
        await stream.read()
    await until(lambda: len(exporter.get_finished_spans()) == 2)
    missed = named(exporter, "mfserve.v1.ModelService/GetModel")
    refused = named(exporter, "mfserve.v1.RecommendationService/StreamRecommend")
    for failed, code in ((missed, 5), (refused, 3)):
        assert failed.parent is None
        assert failed.attributes is not None
        assert failed.attributes["rpc.grpc.status_code"] == code
        assert failed.status.status_code is StatusCode.UNSET  # its caller's fault
        assert not failed.events
        assert "u1" not in failed.to_json()
    assert missed.context.trace_id != refused.context.trace_id


async def test_a_training_goes_on_with_the_trace(
    serve: MakeServer, registry: Registry, spans: tuple[Traces, InMemorySpanExporter]
) -> None:
    traces, exporter = spans
    server = await serve(traces=traces)
    asked = training_pb.TrainRequest(model="movies", request_id="once")
    asked.dataset.builtin.name = "movielens-100k"
    await server.trainings.Train(asked, timeout=DEADLINE, metadata=SAMPLED)
    await server.trainings.Train(asked, timeout=DEADLINE)  # made again: it stays in its trace
    asked.request_id = "again"
    await server.trainings.Train(asked, timeout=DEADLINE, metadata=NOT_SAMPLED)
    await until(lambda: len(exporter.get_finished_spans()) == 2)
    first, second = (registry.jobs.claim("trainer", timedelta(minutes=5)) for _ in range(2))
    assert first is not None
    assert second is not None
    train = exporter.get_finished_spans()[0]
    span = f"{train.context.span_id:016x}"
    assert first.trace == {"traceparent": f"00-{TRACE}-{span}-01", "tracestate": "vendor=7"}
    # Nobody wants to see it, the trainer neither.
    assert second.trace is not None
    assert second.trace["traceparent"].startswith(f"00-{TRACE}-")
    assert second.trace["traceparent"].endswith("-00")


async def test_without_traces_a_training_is_in_none(serve: MakeServer, registry: Registry) -> None:
    server = await serve()
    asked = training_pb.TrainRequest(model="movies", request_id="once")
    asked.dataset.builtin.name = "movielens-100k"
    await server.trainings.Train(asked, timeout=DEADLINE, metadata=SAMPLED)
    claim = registry.jobs.claim("trainer", timedelta(minutes=5))
    assert claim is not None
    assert claim.trace is None


class Collector(SpanExporter):
    """Takes spans where ``is_there``; what it says of it goes to OpenTelemetry's log."""

    is_there = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self.is_there:
            return SpanExportResult.SUCCESS
        LIBRARY.warning("Transient error, retrying in %.2fs.", random.random())
        LIBRARY.error("Failed to export to %s", "nobody")
        return SpanExportResult.FAILURE


def test_a_collector_that_is_away_is_told_of_once_and_when_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = ExportLog()
    monkeypatch.setattr(LIBRARY, "handlers", [log])
    collector = Collector()
    reporting = ReportingExporter(collector, log)
    with capture_logs() as logs:
        reporting.export([])
        reporting.export([])
        collector.is_there = True
        reporting.export([])
        reporting.export([])
        collector.is_there = False
        reporting.export([])
    levels = [(line["event"], line["log_level"]) for line in logs]
    away = [("traces", "warning"), ("traces", "error")]
    assert levels == [*away, ("traces arrive again", "info"), *away]
    assert logs[1]["message"] == "Failed to export to nobody"
