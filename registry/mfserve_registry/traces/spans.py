"""Makes spans and sends them to a collector."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from importlib.metadata import version

import structlog
from opentelemetry.context import Context
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, SpanKind, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from mfserve_registry.traces import Carrier

__all__ = ["Span", "SpanKind", "Traces"]

Attributes = Mapping[str, str | int]

_CLOSE_SECONDS = 2.0

_log = structlog.get_logger(__name__)
_PROPAGATOR = TraceContextTextMapPropagator()


class Traces:
    """Of one process.

    Args:
        provider: of OpenTelemetry; closed with this.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("mfserve", version("mfserve"))

    @classmethod
    def by_otlp(cls, endpoint: str, service: str) -> Traces:
        """Sends them by the batch, from a thread. All else is as the SDK's own variables say (``OTEL_*``)."""
        # An import that brings gRPC, which the registry has no use for.
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        library, export_log = logging.getLogger("opentelemetry"), ExportLog()
        library.handlers, library.propagate = [export_log], False
        ours = Resource.create({"service.name": service, "service.version": version("mfserve")})
        provider = TracerProvider(
            resource=ours.merge(OTELResourceDetector().detect()), shutdown_on_exit=False
        )
        exporter = ReportingExporter(OTLPSpanExporter(endpoint=endpoint), export_log)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        return cls(provider)

    def span(
        self, name: str, kind: SpanKind, parent: Carrier | None, attributes: Attributes
    ) -> AbstractContextManager[Span]:
        """A span that is the current one meanwhile: in the trace that ``parent`` names, else in one of its own."""
        return self._tracer.start_as_current_span(
            name,
            context=_PROPAGATOR.extract(parent or {}, Context()),
            kind=kind,
            attributes=attributes,
            # Exceptions have texts that are for nobody else to read.
            record_exception=False,
            set_status_on_exception=False,
        )

    def part(self, name: str, of: Span) -> Span:
        """A span within another; ``end`` it."""
        return self._tracer.start_span(name, set_span_in_context(of))

    def carrier(self) -> Carrier | None:
        """Of the current span; None where there is none."""
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, set_span_in_context(get_current_span()))
        return carrier or None

    def close(self) -> None:
        """Sends what is not sent yet, where that is possible soon: a process is not to hang on its collector."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


class ExportLog(logging.Handler):
    """What OpenTelemetry says of its exports, as lines of our log: each once, until one has arrived again."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if (
            record.msg not in self._said
        ):  # the text before it is filled in: it tells of seconds, and the next of others
            self._said.add(record.msg)
            _log.log(record.levelno, "traces", message=record.getMessage())

    def arrived(self) -> None:
        """The collector has taken spans."""
        if self._said:
            self._said.clear()
            _log.info("traces arrive again")


class ReportingExporter(SpanExporter):
    """An exporter of whose successes the log is told."""

    def __init__(self, exporter: SpanExporter, log: ExportLog) -> None:
        self._exporter, self._log = exporter, log

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._log.arrived()
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)
