"""Spans of attempts at jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from mfserve_registry import Registry
from mfserve_registry.contact import Contact
from mfserve_registry.snapshot import write_snapshot
from mfserve_registry.traces.spans import Traces
from mfserve_trainer.attempt import Attempt
from mfserve_trainer.fitter import Fitter
from mfserve_trainer.messages import Done, Failed, FitTask, Step
from mfserve_trainer.progress import Stage
from mfserve_trainer.settings import Settings
from mfserve_trainer.tracing import traced
from tests.registry.snapshot.samples import random_content
from tests.tracing import in_memory, named, parent_of
from tests.trainer.trainers import request_of

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def step(stage: Stage, epoch: int = 0) -> Step:
    return Step(stage=stage, epoch=epoch, epochs=2, metrics={}, remaining_seconds=None)


class Fitting(Fitter):
    """Goes through some stages, and ends as it is told to."""

    def __init__(self, settings: Settings, failed: Failed | None) -> None:
        super().__init__(settings)
        self._failed = failed

    async def perform(self, task: FitTask) -> AsyncGenerator[Step | Done | Failed, None]:
        yield step(Stage.LOADING)
        for epoch in range(3):
            yield step(Stage.RATING_FIT, epoch)
        if self._failed is not None:
            yield self._failed
            return
        yield step(Stage.PUBLISHING)
        yield Done(digest=write_snapshot(task.staged, random_content()), facts={"metrics": None}, files=[])


async def attempted(registry: Registry, home: Path, csv: Path, failed: Failed | None) -> InMemorySpanExporter:
    """What is noted of an attempt at a job that was asked for in a trace."""
    provider, exporter = in_memory()
    registry.jobs.submit(request_of(csv), trace={"traceparent": f"00-{TRACE}-{SPAN}-01"})
    claim = registry.jobs.claim("trainer", timedelta(minutes=5))
    assert claim is not None
    settings = Settings(home=home, data_roots=(csv.parent,))
    with traced(Traces(provider), claim) as trace:
        await Attempt(claim, settings, registry, Fitting(settings, failed), Contact(), trace).run(
            asyncio.Event()
        )
    return exporter


async def test_an_attempt_is_a_span_in_the_trace_of_its_job_and_its_stages_are_in_it(
    registry: Registry, home: Path, csv: Path
) -> None:
    spans = await attempted(registry, home, csv, None)
    attempt = named(spans, "mfserve training")
    assert (attempt.context.trace_id, parent_of(attempt)) == (int(TRACE, 16), int(SPAN, 16))
    assert attempt.kind is SpanKind.CONSUMER
    (job,) = registry.jobs.list().items
    assert attempt.attributes == {
        "mfserve.job": job.job_id,
        "mfserve.model": "movies",
        "mfserve.attempt": 1,
        "mfserve.outcome": "published",
    }
    stages = [span for span in spans.get_finished_spans() if span is not attempt]
    assert [span.name for span in stages] == ["LOADING", "RATING_FIT", "PUBLISHING"]
    assert {parent_of(span) for span in stages} == {attempt.context.span_id}
    assert {span.context.trace_id for span in stages} == {int(TRACE, 16)}
    for stage, following in pairwise(stages):
        assert stage.end_time is not None
        assert following.start_time is not None
        assert stage.end_time <= following.start_time


async def test_an_attempt_that_fails_says_the_reason_alone(registry: Registry, home: Path, csv: Path) -> None:
    failed = Failed(reason="DATASET_INVALID", message="u1 is in line 3.", defect=False)
    spans = await attempted(registry, home, csv, failed)
    attempt = named(spans, "mfserve training")
    assert attempt.attributes is not None
    assert (attempt.attributes["mfserve.outcome"], attempt.attributes["error.type"]) == (
        "failed",
        "DATASET_INVALID",
    )
    assert attempt.status.status_code is StatusCode.ERROR
    assert named(spans, "RATING_FIT").end_time is not None
    assert "u1" not in attempt.to_json()
