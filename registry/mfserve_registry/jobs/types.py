"""What a job is, seen from outside."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import ValidationError

from mfserve_registry.canonical import json_sha256
from mfserve_registry.errors import FailedPrecondition, RegistryError
from mfserve_registry.gates import Promotion, PromotionGates
from mfserve_registry.names import check_model, check_request_id, check_settable_alias
from mfserve_registry.spec import DatasetSpec, TrainingSpec
from mfserve_registry.traces import Carrier


class JobState(StrEnum):
    """Where a job is in its life: PENDING → RUNNING → one of the last three, or back to PENDING for a retry."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def finished(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class Outcome(StrEnum):
    """How an attempt ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    RELEASED = "RELEASED"
    """The worker was shut down and gave the job back."""
    LEASE_LOST = "LEASE_LOST"
    """The worker was not heard of until its lease ended."""


@dataclass(frozen=True, slots=True)
class JobRequest:
    """What a caller asks to be trained.

    Attributes:
        model: name of the model that gets the new version.
        dataset: the ratings.
        spec: how to train.
        promote_to_alias: the alias to move to the new version, or None.
        request_id: chosen by the caller, 1 to 128 visible ASCII characters; the same again is the same job.
        gates: what the version must show for the alias to be moved. Not in ``spec``: what is trained is the same.

    Raises:
        InvalidArgument: a bad name or request id.
        FailedPrecondition: ALIAS_RESERVED, ``promote_to_alias`` is ``latest``.
    """

    model: str
    dataset: DatasetSpec
    spec: TrainingSpec
    promote_to_alias: str | None
    request_id: str
    gates: PromotionGates = field(default_factory=PromotionGates)

    def __post_init__(self) -> None:
        check_model(self.model)
        check_request_id(self.request_id)
        if self.promote_to_alias is not None:
            check_settable_alias(self.promote_to_alias, "promote_to_alias")

    def body(self) -> dict[str, Any]:
        """All but the request id, as JSON values."""
        return {
            "model": self.model,
            "dataset": self.dataset.model_dump(mode="json"),
            "spec": self.spec.model_dump(mode="json"),
            "promote_to_alias": self.promote_to_alias,
            "gates": self.gates.model_dump(mode="json"),
        }

    def hash(self) -> str:
        """SHA-256 of the body: two requests are the same if theirs are."""
        return json_sha256(self.body())

    @classmethod
    def from_body(cls, body: Mapping[str, Any], request_id: str) -> JobRequest:
        """The request that ``body`` was made of.

        Raises:
            FailedPrecondition: REQUEST_UNREADABLE where a newer release wrote it.
        """
        try:
            return cls(
                model=body["model"],
                dataset=DatasetSpec.model_validate(body["dataset"]),
                spec=TrainingSpec.model_validate(body["spec"]),
                promote_to_alias=body["promote_to_alias"],
                request_id=request_id,
                # None in jobs of before there were any.
                gates=PromotionGates.model_validate(body.get("gates", {})),
            )
        except (ValidationError, RegistryError, KeyError, TypeError) as error:
            raise FailedPrecondition(
                "The job asks for something that this release of mfserve does not know; update it.",
                reason="REQUEST_UNREADABLE",
            ) from error


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a job, as its worker reports it.

    Attributes:
        stage: what the worker is at; at most 64 characters.
        epoch: passes finished in this stage; 0 before the first.
        epochs: passes that this stage will have; 0 where it has none.
        metrics: what the last pass measured, such as ``{"loss": 0.61}``; NaN and infinities are kept.
        remaining_seconds: estimate for the whole job, or None.
        sequence: 1, 2, 3, … over the job's whole life. Set by the registry, like the two below.
        attempt: the attempt that it belongs to.
        at: when it was recorded.
    """

    stage: str
    epoch: int = 0
    epochs: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    remaining_seconds: float | None = None
    sequence: int = 0
    attempt: int = 0
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """A training job as it was when it was read.

    Attributes:
        job_id: given by the registry.
        number: its place in the order of submission, from 1 (with gaps).
        model: name of the model.
        request_id: the caller's.
        body: the stored request; ``request`` parses it.
        state: where it is in its life.
        cancel_requested: somebody asked to cancel it: it can only end CANCELLED.
        attempt: number of the latest attempt; 0 before the first.
        attempts_used: attempts begun, but for those that their worker gave back.
        attempts_left: how often a worker may still start it.
        worker: who runs or ran the latest attempt; None before the first.
        version: the version that it published, or None.
        promotion: what became of the alias that it was to move; None unless it SUCCEEDED and there was one.
        error_reason, error_message: why it FAILED, or why the attempt before did while it is tried again; else None.
        revision: counts the changes of the job (progress apart), from 1.
        created_at: when it was submitted.
        started_at: when a worker first claimed it, or None.
        finished_at: when it came to an end, or None.
        updated_at: when it last changed.
    """

    job_id: str
    number: int
    model: str
    request_id: str
    body: Mapping[str, Any]
    state: JobState
    cancel_requested: bool
    attempt: int
    attempts_used: int
    attempts_left: int
    worker: str | None
    version: int | None
    promotion: Promotion | None
    error_reason: str | None
    error_message: str | None
    revision: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime

    @property
    def request(self) -> JobRequest:
        """The request; FailedPrecondition REQUEST_UNREADABLE where a newer release wrote it."""
        return JobRequest.from_body(self.body, self.request_id)


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's hold on a job: what it must show to report, and to publish.

    Attributes:
        job_id: the job.
        attempt: the attempt, from 1; once a later one exists, this claim is worth nothing.
        worker: the worker's own name.
        request: what to train.
        lease_expires_at: when the hold ended, as first claimed; ``Jobs.renew`` moves it in the database.
        trace: in which the job was asked for, if in any.
    """

    job_id: str
    attempt: int
    worker: str
    request: JobRequest
    lease_expires_at: datetime
    trace: Carrier | None = None
