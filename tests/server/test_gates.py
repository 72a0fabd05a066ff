"""Promotion gates over the wire: their bounds, what they found, and promotion afterwards."""

from __future__ import annotations

from typing import Any

import pytest

from mfserve.v1 import common_pb2, training_service_pb2, training_spec_pb2
from mfserve.v1 import model_service_pb2 as pb
from mfserve_registry import Registry
from mfserve_registry.gates import Gate, GateOutcome, GateReport, GateResult
from tests.server.calls import Server, failure
from tests.server.samples import publish

FAILED = GateResult(
    gate=Gate.RATING_ERROR,
    outcome=GateOutcome.FAILED,
    message="RMSE 2.",
    value=2,
    incumbent_value=1,
    bound=0.25,
)
SKIPPED = GateResult(gate="OF_ANOTHER_RELEASE", outcome=GateOutcome.SKIPPED, message="Nothing.")
REPORT = GateReport(alias="production", incumbent=1, revision=1, results=(FAILED, SKIPPED))


@pytest.fixture
def movies(registry: Registry) -> Registry:
    """Version 1 is in production; version 2 was to get there and failed a gate."""
    publish(registry)
    publish(registry, seed=1, promote_to="production", gates=REPORT)
    return registry


def promotion(**fields: Any) -> pb.PromoteModelVersionRequest:
    whole: dict[str, Any] = {"model": "movies", "version": 2}
    return pb.PromoteModelVersionRequest(**(whole | fields))


async def test_a_version_tells_what_the_gates_found(server: Server, movies: Registry) -> None:
    request = pb.GetModelVersionRequest(model_spec=common_pb2.ModelSpec(model="movies", version=2))
    version = (await server.models.GetModelVersion(request)).version
    assert version.gates == pb.GateReport(
        alias="production",
        incumbent_version=1,
        revision=1,
        results=[
            pb.GateResult(
                gate=pb.GATE_RATING_ERROR,
                outcome=pb.GATE_OUTCOME_FAILED,
                message="RMSE 2.",
                value=2,
                incumbent_value=1,
                bound=0.25,
            ),
            pb.GateResult(outcome=pb.GATE_OUTCOME_SKIPPED, message="Nothing."),
        ],
    )
    first = pb.GetModelVersionRequest(model_spec=common_pb2.ModelSpec(model="movies", version=1))
    assert not (await server.models.GetModelVersion(first)).version.HasField("gates")


async def test_a_job_tells_what_became_of_the_alias(server: Server, movies: Registry) -> None:
    jobs = (await server.trainings.ListTrainingJobs(training_service_pb2.ListTrainingJobsRequest())).jobs
    assert jobs[0].promotion == training_service_pb2.Promotion(
        alias="production", promoted=False, reason="RATING_ERROR failed: RMSE 2."
    )
    assert not jobs[1].HasField("promotion")
    assert jobs[1].gates.max_rmse_increase == 0.02


async def test_the_bounds_come_back_with_the_defaults_filled_in(server: Server) -> None:
    request = training_service_pb2.TrainRequest(
        model="movies",
        dataset=training_spec_pb2.Dataset(builtin=training_spec_pb2.BuiltinDataset(name="movielens-100k")),
        gates=training_service_pb2.PromotionGates(max_rmse_increase=0, min_overlap=0.25),
        request_id="r1",
    )
    job = (await server.trainings.Train(request)).job
    assert job.gates == training_service_pb2.PromotionGates(
        max_rmse_increase=0,
        max_ndcg_decrease=0.05,
        max_norm_factor=3,
        min_vocabulary_share=0.8,
        min_overlap=0.25,
    )
    request.gates.max_norm_factor = 0.5
    request.request_id = "r2"
    found = await failure(server.trainings.Train(request))
    assert (found.code.name, found.reason, found.fields) == (
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
        ["gates.max_norm_factor"],
    )


async def test_a_version_is_promoted_by_force_and_the_history_says_so(
    server: Server, movies: Registry
) -> None:
    refused = await failure(server.models.PromoteModelVersion(promotion(reason="why not", actor="ann")))
    assert (refused.code.name, refused.reason) == ("FAILED_PRECONDITION", "GATES_FAILED")
    assert refused.metadata == {"model": "movies", "version": "2", "gates": "RATING_ERROR"}
    forced = promotion(force=True, reason="the data changed", actor="ann")
    moved = (await server.models.PromoteModelVersion(forced)).alias
    assert (moved.alias, moved.revision, moved.targets[0].version) == ("production", 2, 2)
    history = pb.ListAliasEventsRequest(model="movies", alias="production")
    event = (await server.models.ListAliasEvents(history)).events[0]
    assert (event.action, event.actor, event.reason) == (pb.ALIAS_ACTION_FORCED, "ann", "the data changed")


async def test_a_version_that_failed_nothing_is_promoted_to_a_new_alias(
    server: Server, movies: Registry
) -> None:
    moved = (await server.models.PromoteModelVersion(promotion(version=1, alias="candidate"))).alias
    assert (moved.alias, moved.revision, moved.targets[0].version) == ("candidate", 1, 1)


@pytest.mark.parametrize(
    ("fields", "code", "reason", "field"),
    [
        ({"force": True}, "INVALID_ARGUMENT", "INVALID_FIELD", "reason"),
        ({"version": 0}, "NOT_FOUND", "VERSION_NOT_FOUND", "version"),
        ({"model": "none"}, "NOT_FOUND", "MODEL_NOT_FOUND", "model"),
        ({"alias": "latest"}, "FAILED_PRECONDITION", "ALIAS_RESERVED", "alias"),
        ({"alias": ""}, "INVALID_ARGUMENT", "INVALID_FIELD", "alias"),
        ({"version": 1, "expected_revision": 0}, "ABORTED", "REVISION_MISMATCH", "expected_revision"),
    ],
)
async def test_what_cannot_be_promoted(
    fields: dict[str, Any], code: str, reason: str, field: str, server: Server, movies: Registry
) -> None:
    found = await failure(server.models.PromoteModelVersion(promotion(**fields)))
    assert (found.code.name, found.reason) == (code, reason)
    assert found.fields in ([field], [])
    assert movies.aliases.get("movies", "production").revision == 1
