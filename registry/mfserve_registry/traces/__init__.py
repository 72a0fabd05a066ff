"""Traces of calls and trainings, by OpenTelemetry: imported by nobody unless they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mfserve_registry.settings import ProcessSettings, StartError

if TYPE_CHECKING:
    from mfserve_registry.traces.spans import Traces

__all__ = ["Carrier", "open_traces", "require_traces"]

Carrier = Mapping[str, str]
"""What takes a trace from one process to another (W3C Trace Context): ``traceparent``, perhaps ``tracestate``."""


def require_traces(settings: ProcessSettings) -> None:
    """StartError where traces are asked for, and what makes them is not installed."""
    if settings.otlp_endpoint is None:
        return
    try:
        found = find_spec("opentelemetry.exporter.otlp.proto.grpc") and find_spec("opentelemetry.sdk")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise StartError("otlp_endpoint needs OpenTelemetry: pip install 'mfserve[otel]'.")


def open_traces(settings: ProcessSettings, service: str) -> Traces | None:
    """Where spans of this process go; None where they are not asked for.

    Args:
        service: the name of what runs here.
    """
    if settings.otlp_endpoint is None:
        return None
    from mfserve_registry.traces.spans import Traces  # an import that only those pay who ask for it

    return Traces.by_otlp(settings.otlp_endpoint, service)
