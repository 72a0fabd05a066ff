"""Spans, kept in memory."""

from __future__ import annotations

from functools import cache

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter


@cache
def of_this_program() -> InMemorySpanExporter:
    """Spans of whoever takes the global tracer, as clients do. It can be set once in a process."""
    provider, exporter = in_memory()
    trace.set_tracer_provider(provider)
    return exporter


def in_memory() -> tuple[TracerProvider, InMemorySpanExporter]:
    """A provider, and where its spans come to."""
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def named(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    """The one span of that name."""
    (span,) = [span for span in exporter.get_finished_spans() if span.name == name]
    return span


def parent_of(span: ReadableSpan) -> int:
    """Id of the span that it is in."""
    assert span.parent is not None
    return span.parent.span_id
