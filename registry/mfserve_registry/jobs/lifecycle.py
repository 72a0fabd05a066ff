"""The moves of a job's life, each within a transaction that is under way.

    submit → PENDING ── claim ──→ RUNNING ── publish ───────────────→ SUCCEEDED
                ↑                    │ ├──── failed for good ───────→ FAILED
                │                    │ └──── cancel, then any end ──→ CANCELLED
                └─ released, failed ─┘
                   with attempts left, or lease ended (no attempts left: FAILED)

Only the claim of the latest attempt, before its lease ends, may move a running job. A lease that has merely ended, with
nobody having taken the job, can be renewed: the database may have been away for longer than it lasts. Once a cancel is
asked for, a job can only end CANCELLED: a publication that has not committed by then fails.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, update

from mfserve_registry.errors import FailedPrecondition, LeaseLost, NotFound
from mfserve_registry.gates import Promotion
from mfserve_registry.jobs.types import Claim, Job, JobState, Outcome
from mfserve_registry.tables import job_attempts, jobs

_CURRENT_ATTEMPT = (job_attempts.c.job_id == jobs.c.job_id) & (job_attempts.c.attempt == jobs.c.attempt)

_all_attempts = job_attempts.alias()
_RELEASED = (
    select(func.count())
    .where(_all_attempts.c.job_id == jobs.c.job_id, _all_attempts.c.outcome == Outcome.RELEASED)
    .scalar_subquery()
)

# The job's columns with those of its latest attempt, and how many attempts were given back.
job_rows = select(
    jobs, job_attempts.c.worker, job_attempts.c.lease_expires_at, _RELEASED.label("released")
).select_from(jobs.outerjoin(job_attempts, _CURRENT_ATTEMPT))


def require_job(connection: Connection, job_id: str) -> Row[Any]:
    """The job's row; NotFound JOB_NOT_FOUND."""
    row = connection.execute(job_rows.where(jobs.c.job_id == job_id)).first()
    if row is None:
        raise job_not_found(job_id)
    return row


def hold(connection: Connection, claim: Claim, now: datetime) -> Row[Any]:
    """The row of the job that ``claim`` holds; LeaseLost where it holds it no longer."""
    row = hold_or_held(connection, claim)
    if row.lease_expires_at <= now:
        raise _lost(claim)
    return row


def hold_or_held(connection: Connection, claim: Claim) -> Row[Any]:
    """The same, but its lease may have ended if nobody has done anything about that yet."""
    row = require_job(connection, claim.job_id)
    if row.state != JobState.RUNNING or row.attempt != claim.attempt:
        raise _lost(claim)
    return row


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(
        f"Attempt {claim.attempt} of job {claim.job_id} no longer holds the job.",
        metadata={"job_id": claim.job_id, "attempt": str(claim.attempt)},
    )


def finish(
    connection: Connection,
    row: Row[Any],
    state: JobState,
    outcome: Outcome,
    now: datetime,
    *,
    version: int | None = None,
    promotion: Promotion | None = None,
    error: tuple[str, str] | None = None,
) -> None:
    """Ends a running job for good."""
    end_attempt(connection, row, outcome, now, error)
    reason, message = error or (None, None)
    change(
        connection,
        row,
        now,
        state=state,
        version=version,
        promotion=None if promotion is None else promotion.model_dump(mode="json"),
        error_reason=reason,
        error_message=message,
        finished_at=now,
    )


def give_back(
    connection: Connection,
    row: Row[Any],
    outcome: Outcome,
    now: datetime,
    *,
    error: tuple[str, str] | None = None,
) -> None:
    """Ends a running job's attempt and lets another begin, unless it was cancelled or no attempts are left.

    A released attempt counts as if it had not begun.
    """
    attempts_left = row.attempts_left + (1 if outcome is Outcome.RELEASED else 0)
    if row.cancel_requested:
        finish(connection, row, JobState.CANCELLED, outcome, now)
    elif attempts_left == 0:
        finish(connection, row, JobState.FAILED, outcome, now, error=error)
    else:
        end_attempt(connection, row, outcome, now, error)
        reason, message = error or (None, None)
        change(
            connection,
            row,
            now,
            state=JobState.PENDING,
            attempts_left=attempts_left,
            error_reason=reason,
            error_message=message,
        )


def lease_ended(connection: Connection, row: Row[Any], now: datetime) -> None:
    """What becomes of a running job whose worker was not heard of in time."""
    last = row.attempts_left == 0
    give_back(
        connection,
        row,
        Outcome.LEASE_LOST,
        now,
        error=(
            "ATTEMPTS_EXHAUSTED" if last else "LEASE_LOST",
            f"The worker of attempt {row.attempt} was not heard of until its lease ended"
            + (", and no attempts are left." if last else "; the job waits for its next attempt."),
        ),
    )


def end_attempt(
    connection: Connection, row: Row[Any], outcome: Outcome, now: datetime, error: tuple[str, str] | None
) -> None:
    reason, message = error or (None, None)
    connection.execute(
        update(job_attempts)
        .where(job_attempts.c.job_id == row.job_id, job_attempts.c.attempt == row.attempt)
        .values(outcome=outcome, ended_at=now, error_reason=reason, error_message=message)
    )


def change(connection: Connection, row: Row[Any], now: datetime, **values: Any) -> None:
    """Writes columns of the job, counting the change."""
    connection.execute(
        update(jobs)
        .where(jobs.c.job_id == row.job_id)
        .values(revision=jobs.c.revision + 1, updated_at=now, **values)
    )


def refuse_if_cancelled(row: Row[Any]) -> None:
    """FailedPrecondition JOB_CANCELLED once a cancel was asked for."""
    if row.cancel_requested:
        raise FailedPrecondition(
            f"Job {row.job_id} was cancelled.", reason="JOB_CANCELLED", metadata={"job_id": row.job_id}
        )


def job_not_found(job_id: str) -> NotFound:
    return NotFound(
        "There is no such job.", reason="JOB_NOT_FOUND", field="job_id", metadata={"job_id": job_id[:64]}
    )


def job_from_row(row: Row[Any]) -> Job:
    return Job(
        job_id=row.job_id,
        number=row.number,
        model=row.model,
        request_id=row.request_id,
        body=row.request,
        state=JobState(row.state),
        cancel_requested=row.cancel_requested,
        attempt=row.attempt,
        attempts_used=row.attempt - row.released,
        attempts_left=row.attempts_left,
        worker=row.worker,
        version=row.version,
        promotion=None if row.promotion is None else Promotion.model_validate(row.promotion),
        error_reason=row.error_reason,
        error_message=row.error_message,
        revision=row.revision,
        created_at=row.created_at,
        started_at=row.started_at,
        finished_at=row.finished_at,
        updated_at=row.updated_at,
    )
