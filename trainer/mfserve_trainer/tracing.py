"""An attempt at a job as a span in the trace of the call that asked for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mfserve_registry import Claim
from mfserve_trainer.messages import Step

if TYPE_CHECKING:
    from mfserve_registry.traces.spans import Span, Traces


class AttemptTrace:
    """Notes what an attempt does; this one nowhere."""

    def step(self, step: Step) -> None:
        """A stage has begun, or an epoch has passed."""

    def end(self, outcome: str, reason: str | None = None) -> None:
        """What came of it, and the reason where it failed."""


UNTRACED = AttemptTrace()


class _Spans(AttemptTrace):
    """In a span, with one for each stage in it."""

    def __init__(self, traces: Traces, span: Span) -> None:
        self._traces = traces
        self._span = span
        self._stage: Span | None = None

    def step(self, step: Step) -> None:
        if step.epoch:
            return
        self.end_stage()
        self._stage = self._traces.part(step.stage, self._span)

    def end(self, outcome: str, reason: str | None = None) -> None:
        from opentelemetry.trace import StatusCode

        self._span.set_attribute("mfserve.outcome", outcome)
        if reason is not None:
            self._span.set_attribute("error.type", reason)
            self._span.set_status(StatusCode.ERROR, reason)

    def end_stage(self) -> None:
        if self._stage is not None:
            self._stage.end()
            self._stage = None


@contextmanager
def traced(traces: Traces | None, claim: Claim) -> Iterator[AttemptTrace]:
    """The trace of an attempt that begins now."""
    if traces is None:
        yield UNTRACED
        return
    from opentelemetry.trace import SpanKind

    facts: dict[str, str | int] = {
        "mfserve.job": claim.job_id,
        "mfserve.model": claim.request.model,
        "mfserve.attempt": claim.attempt,
    }
    with traces.span("mfserve training", SpanKind.CONSUMER, claim.trace, facts) as span:
        trace = _Spans(traces, span)
        try:
            yield trace
        finally:
            trace.end_stage()
