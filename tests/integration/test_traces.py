"""One trace from a client through a server to a training, as a collector gets it."""

from __future__ import annotations

from pathlib import Path

from opentelemetry import trace

from mfserve import Client
from mfserve.types import Als
from tests.integration.collector import collecting
from tests.integration.service import running_service
from tests.tracing import named, of_this_program, parent_of
from tests.trainer.engines.synthetic import low_rank
from tests.trainer.samples import write_csv


def test_a_training_is_one_trace_from_client_to_publication(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    csv = write_csv(low_rank()[0], data / "ratings.csv")
    client_spans = of_this_program()
    client_spans.clear()
    home = tmp_path / "home"
    flags = ("--data-roots", str(data))
    with collecting() as collector:
        with (
            running_service(home, *flags, "--otlp-endpoint", collector.endpoint) as service,
            Client(service.address) as client,
            trace.get_tracer("program").start_as_current_span("program") as program,
        ):
            job = client.train("movies", dataset=csv, rating=Als(factors=4, iterations=4))
            assert job.result(timeout=90).version == 1
        # Both have ended, and a process that ends sends what it has.
        found = collector.of(program.get_span_context().trace_id.to_bytes(16, "big"))

    asked = named(client_spans, "mfserve.v1.TrainingService/Train")
    assert parent_of(asked) == program.get_span_context().span_id
    spans = {(service, span.name): span for service, span in found}
    answered = spans["mfserve-server", "mfserve.v1.TrainingService/Train"]
    trained = spans["mfserve-trainer", "mfserve training"]
    published = spans["mfserve-trainer", "PUBLISHING"]
    assert answered.parent_span_id == asked.context.span_id.to_bytes(8, "big")
    assert trained.parent_span_id == answered.span_id
    assert published.parent_span_id == trained.span_id
    assert trained.start_time_unix_nano <= published.start_time_unix_nano
    assert published.end_time_unix_nano <= trained.end_time_unix_nano
    stages = {span.name for _, span in found if span.parent_span_id == trained.span_id}
    assert stages >= {"LOADING", "RATING_FIT", "RATING_REFIT", "RANKING_REFIT"}
    assert ("mfserve-server", "mfserve.v1.TrainingService/WatchTrainingJob") in spans
