"""What becomes of the aliases when a version is published that gates were asked about, and afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from mfserve_registry import Job, Registry, Version
from mfserve_registry.aliases import AliasAction
from mfserve_registry.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, RegistryError
from mfserve_registry.gates import Gate, GateOutcome, GateReport, GateResult, Promotion, PromotionGates
from mfserve_registry.jobs import JobRequest
from tests.registry.helpers import claimed, publish, request, stage

WORSE = GateResult(
    gate=Gate.RATING_ERROR,
    outcome=GateOutcome.FAILED,
    message="RMSE 2.",
    value=2,
    incumbent_value=1,
    bound=0.02,
)
FINE = GateResult(gate=Gate.USERS, outcome=GateOutcome.PASSED, message="3 users.", value=3, incumbent_value=3)
UNKNOWN = GateResult(gate=Gate.OVERLAP, outcome=GateOutcome.SKIPPED, message="Nobody.")


def report(*results: GateResult, revision: int = 1, alias: str = "production") -> GateReport:
    return GateReport(alias=alias, incumbent=1 if revision else None, revision=revision, results=results)


def published(
    registry: Registry, gates: GateReport | None, alias: str | None = "production", seed: int = 1
) -> tuple[Version, Job]:
    claim = claimed(registry, request(f"job-{seed}", promote_to_alias=alias))
    version = registry.publish(claim, *stage(registry, seed), gates=gates)
    return version, registry.jobs.get(claim.job_id)


def production(registry: Registry) -> tuple[int, int]:
    """The version that production names, and its revision."""
    found = registry.aliases.get("movies", "production")
    return found.targets[0].version, found.revision


def last_event(registry: Registry) -> tuple[AliasAction, str, str]:
    event = registry.aliases.events("movies", "production").items[0]
    return event.action, event.actor, event.reason


def test_what_passed_is_promoted_and_the_version_keeps_what_the_gates_found(registry: Registry) -> None:
    publish(registry)
    gates = report(FINE, UNKNOWN)
    version, job = published(registry, gates)
    assert production(registry) == (2, 2)
    assert job.promotion == Promotion(alias="production", promoted=True, reason="")
    assert version.gates == registry.models.get_version("movies", 2).gates == gates
    assert version.aliases == ("production",)


def test_what_failed_is_published_and_not_promoted(registry: Registry) -> None:
    publish(registry)
    version, job = published(registry, report(FINE, WORSE))
    assert (version.version, version.aliases) == (2, ())
    assert production(registry) == (1, 1)
    assert job.version == 2
    assert job.promotion == Promotion(
        alias="production", promoted=False, reason="RATING_ERROR failed: RMSE 2."
    )


def test_an_alias_that_was_changed_after_the_comparison_is_left_alone(registry: Registry) -> None:
    publish(registry)
    publish(registry, "r2", seed=5)
    registry.aliases.set("movies", "production", 2, expected_revision=1)
    _, job = published(registry, report(FINE, revision=1))
    assert production(registry) == (2, 2)
    assert job.promotion is not None
    assert not job.promotion.promoted
    assert "was changed while the new version was compared" in job.promotion.reason


def test_an_alias_that_was_deleted_and_made_again_was_changed_too(registry: Registry) -> None:
    publish(registry)
    registry.aliases.delete("movies", "production", expected_revision=1)
    registry.aliases.set("movies", "production", 1, expected_revision=0)
    _, job = published(registry, report(FINE, revision=1))
    assert production(registry) == (1, 3)
    assert job.promotion is not None
    assert not job.promotion.promoted


def test_the_first_version_takes_production_and_whatever_alias_it_asks_for(registry: Registry) -> None:
    _, job = published(registry, report(UNKNOWN, revision=0, alias="candidate"), "candidate")
    assert [alias.alias for alias in registry.aliases.list("movies")] == ["candidate", "production"]
    assert job.promotion == Promotion(alias="candidate", promoted=True, reason="")


def test_without_gates_the_alias_moves_whatever_it_names(registry: Registry) -> None:
    publish(registry)
    registry.aliases.set("movies", "production", 1, expected_revision=1)
    version, job = published(registry, None)
    assert production(registry) == (2, 3)
    assert version.gates is None
    assert job.promotion is not None
    assert job.promotion.promoted


def test_a_job_that_is_to_move_no_alias_says_nothing_of_one(registry: Registry) -> None:
    publish(registry)
    version, job = published(registry, report(WORSE), None)
    assert job.promotion is None
    assert version.gates is not None
    assert [result.gate for result in version.gates.failed] == ["RATING_ERROR"]


def test_a_version_whose_gates_failed_is_promoted_by_force_alone(registry: Registry) -> None:
    publish(registry)
    published(registry, report(WORSE))
    with pytest.raises(FailedPrecondition) as refused:
        registry.promote("movies", 2, reason="the boss says so", actor="ana")
    assert refused.value.reason == "GATES_FAILED"
    assert refused.value.metadata == {"model": "movies", "version": "2", "gates": "RATING_ERROR"}
    assert "RMSE 2." in refused.value.message
    assert production(registry) == (1, 1)
    with pytest.raises(InvalidArgument) as silent:
        registry.promote("movies", 2, force=True, reason=" ", actor="ana")
    assert silent.value.field == "reason"

    moved = registry.promote("movies", 2, force=True, reason="the boss says so", actor="ana")
    assert (moved.targets[0].version, moved.revision) == production(registry) == (2, 2)
    assert last_event(registry) == (AliasAction.FORCED, "ana", "the boss says so")


def test_a_version_that_failed_no_gate_is_promoted_to_any_alias(registry: Registry) -> None:
    publish(registry)
    published(registry, report(FINE), None)
    registry.promote("movies", 2, "candidate")
    assert registry.aliases.get("movies", "candidate").revision == 1
    # By force or not: where nothing failed, nothing was forced.
    registry.promote("movies", 2, force=True, reason="to be sure", expected_revision=1)
    assert last_event(registry) == (AliasAction.PROMOTED, "", "to be sure")


@pytest.mark.parametrize(
    ("arguments", "error", "reason"),
    [
        ({"version": 9}, NotFound, "VERSION_NOT_FOUND"),
        ({"model": "books"}, NotFound, "MODEL_NOT_FOUND"),
        ({"alias": "latest"}, FailedPrecondition, "ALIAS_RESERVED"),
        ({"alias": "No Name"}, InvalidArgument, "INVALID_FIELD"),
        ({"expected_revision": 4}, Aborted, "REVISION_MISMATCH"),
        ({"expected_revision": -1}, InvalidArgument, "INVALID_FIELD"),
        ({"reason": "x" * 1001}, InvalidArgument, "INVALID_FIELD"),
        ({"actor": "x" * 256}, InvalidArgument, "INVALID_FIELD"),
    ],
)
def test_what_cannot_be_promoted(
    registry: Registry, arguments: Mapping[str, Any], error: type[RegistryError], reason: str
) -> None:
    publish(registry)
    with pytest.raises(error) as refused:
        registry.promote(**{"model": "movies", "version": 1, **arguments})
    assert refused.value.reason == reason
    assert production(registry) == (1, 1)


def test_a_job_of_before_there_were_gates_has_the_default_ones() -> None:
    asked = request()
    body = asked.body()
    del body["gates"]
    assert JobRequest.from_body(body, "r1") == asked
    assert asked.gates == PromotionGates()


def test_a_gate_of_a_newer_release_can_still_be_read() -> None:
    written = report(FINE).model_dump(mode="json")
    written["results"][0] |= {"gate": "FAIRNESS", "unit": "share"}
    read = GateReport.model_validate(written)
    assert read.results[0].gate == "FAIRNESS"
