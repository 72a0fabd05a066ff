"""The queue of training jobs: the caller's side and the worker's."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, func, insert, select, update

from mfserve_registry.database import Database
from mfserve_registry.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound
from mfserve_registry.jobs.lifecycle import (
    change,
    finish,
    give_back,
    hold,
    hold_or_held,
    job_from_row,
    job_not_found,
    job_rows,
    lease_ended,
    require_job,
)
from mfserve_registry.jobs.types import Claim, Job, JobRequest, JobState, Outcome, Progress
from mfserve_registry.names import check_model
from mfserve_registry.pages import DEFAULT_PAGE_SIZE, Page, check_page_size, decode_token
from mfserve_registry.spec import UploadedDataset
from mfserve_registry.tables import job_attempts, job_progress, jobs, uploads
from mfserve_registry.traces import Carrier

DEFAULT_MAX_ATTEMPTS = 3


class Jobs:
    """Training jobs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def counts(self) -> tuple[Mapping[JobState, int], float]:
        """How many jobs there are by state, and for how many seconds the first of the PENDING ones has waited."""
        by_state = select(jobs.c.state, func.count(), func.min(jobs.c.created_at)).group_by(jobs.c.state)
        with self._database.read() as connection:
            rows = connection.execute(by_state).all()
        first = next((since for state, _, since in rows if state == JobState.PENDING), None)
        waiting = 0.0 if first is None else (self._database.now() - first).total_seconds()
        return {JobState(state): count for state, count, _ in rows}, max(waiting, 0.0)

    # The caller's side.

    def submit(
        self, request: JobRequest, *, max_attempts: int = DEFAULT_MAX_ATTEMPTS, trace: Carrier | None = None
    ) -> tuple[Job, bool]:
        """Queues a job.

        Args:
            max_attempts: how often workers may start it before it FAILs, 1 or more.
            trace: in which it is asked for; its attempts go on with that of the call that made it.

        Returns:
            The job, and whether it is new: the same request again (same ``request_id``, same body) is the same job.

        Raises:
            AlreadyExists: REQUEST_ID_REUSED, another job has this ``request_id``.
            NotFound: UPLOAD_NOT_FOUND, the data set is an upload that does not exist.
        """
        if max_attempts < 1:
            raise InvalidArgument("A job has 1 attempt or more.", field="max_attempts")
        with self._database.write() as connection:
            row = connection.execute(job_rows.where(jobs.c.request_id == request.request_id)).first()
            if row is not None:
                if row.request_hash != request.hash():
                    raise AlreadyExists(
                        "Another training was requested with this request id; choose a new one.",
                        reason="REQUEST_ID_REUSED",
                        field="request_id",
                        metadata={"request_id": request.request_id, "job_id": row.job_id},
                    )
                return job_from_row(row), False
            _check_upload(connection, request)
            now = self._database.now()
            job_id = uuid4().hex
            connection.execute(
                insert(jobs).values(
                    job_id=job_id,
                    model=request.model,
                    request_id=request.request_id,
                    request_hash=request.hash(),
                    request=request.body(),
                    state=JobState.PENDING,
                    cancel_requested=False,
                    attempt=0,
                    attempts_left=max_attempts,
                    trace=trace,
                    revision=1,
                    created_at=now,
                    updated_at=now,
                )
            )
            return job_from_row(require_job(connection, job_id)), True

    def get(self, job_id: str) -> Job:
        """NotFound: JOB_NOT_FOUND."""
        with self._database.read() as connection:
            row = connection.execute(job_rows.where(jobs.c.job_id == job_id)).first()
        if row is None:
            raise job_not_found(job_id)
        return job_from_row(row)

    def list(
        self,
        model: str | None = None,
        states: Collection[JobState] = (),
        *,
        page_size: int = DEFAULT_PAGE_SIZE,
        page_token: str = "",
    ) -> Page[Job]:
        """Jobs, the newest first: all, or those of a model (which need not exist yet), or those in some states."""
        check_page_size(page_size)
        wanted = sorted(JobState(state) for state in states)
        scope = ("jobs", model, wanted)
        before = decode_token(scope, page_token, int)
        query = job_rows.order_by(jobs.c.number.desc()).limit(page_size + 1)
        if model is not None:
            query = query.where(jobs.c.model == check_model(model))
        if wanted:
            query = query.where(jobs.c.state.in_(wanted))
        if before is not None:
            query = query.where(jobs.c.number < before)
        with self._database.read() as connection:
            found = [job_from_row(row) for row in connection.execute(query)]
        return Page.of(found, page_size, scope, lambda job: job.number)

    def cancel(self, job_id: str) -> Job:
        """Cancels a job: one that waits at once, one that runs as soon as its worker hears of it.

        A running job whose lease has ended has no worker to hear of it, and is cancelled at once too. Asking again
        is fine until the job is finished.

        Raises:
            NotFound: JOB_NOT_FOUND.
            FailedPrecondition: JOB_FINISHED.
        """
        with self._database.write() as connection:
            row = require_job(connection, job_id)
            state = JobState(row.state)
            now = self._database.now()
            if state.finished:
                raise FailedPrecondition(
                    f"The job is {state} already.",
                    reason="JOB_FINISHED",
                    field="job_id",
                    metadata={"job_id": job_id, "state": state},
                )
            if state is JobState.PENDING:
                change(connection, row, now, state=JobState.CANCELLED, cancel_requested=True, finished_at=now)
            elif row.lease_expires_at <= now:
                change(connection, row, now, cancel_requested=True)
                finish(connection, row, JobState.CANCELLED, Outcome.LEASE_LOST, now)
            elif not row.cancel_requested:
                change(connection, row, now, cancel_requested=True)
            return job_from_row(require_job(connection, job_id))

    def progress(self, job_id: str, after_sequence: int = 0) -> Sequence[Progress]:
        """What was recorded after ``after_sequence``, in order. NotFound: JOB_NOT_FOUND."""
        with self._database.read() as connection:
            if connection.execute(select(jobs.c.number).where(jobs.c.job_id == job_id)).first() is None:
                raise job_not_found(job_id)
            rows = connection.execute(
                select(job_progress)
                .where(job_progress.c.job_id == job_id, job_progress.c.sequence > after_sequence)
                .order_by(job_progress.c.sequence)
            ).all()
        return [_step(row) for row in rows]

    def latest_progress(self, job_ids: Collection[str]) -> Mapping[str, Progress]:
        """The last step that was recorded of each of the jobs; a job that has none, or does not exist, is left out."""
        last = (
            select(job_progress.c.job_id, func.max(job_progress.c.sequence).label("sequence"))
            .where(job_progress.c.job_id.in_(job_ids))
            .group_by(job_progress.c.job_id)
            .subquery()
        )
        query = select(job_progress).join(
            last, (job_progress.c.job_id == last.c.job_id) & (job_progress.c.sequence == last.c.sequence)
        )
        with self._database.read() as connection:
            return {row.job_id: _step(row) for row in connection.execute(query)}

    # The worker's side.

    def claim(self, worker: str, lease: timedelta) -> Claim | None:
        """Takes the oldest job that waits, or None. Jobs whose lease has ended wait again, or FAIL, first.

        Args:
            worker: the worker's own name, at most 255 characters.
            lease: how long the job is the worker's unless it renews.
        """
        with self._database.write() as connection:
            now = self._database.now()
            _end_leases(connection, now)
            while True:
                row = connection.execute(
                    job_rows.where(jobs.c.state == JobState.PENDING).order_by(jobs.c.number).limit(1)
                ).first()
                if row is None:
                    return None
                attempt = row.attempt + 1
                connection.execute(
                    insert(job_attempts).values(
                        job_id=row.job_id,
                        attempt=attempt,
                        worker=worker,
                        claimed_at=now,
                        lease_expires_at=now + lease,
                    )
                )
                change(
                    connection,
                    row,
                    now,
                    state=JobState.RUNNING,
                    attempt=attempt,
                    attempts_left=row.attempts_left - 1,
                    started_at=row.started_at or now,
                )
                try:
                    request = job_from_row(row).request
                except FailedPrecondition as unreadable:
                    # It would be so for every attempt here, and the jobs behind it must not wait for that.
                    error = (unreadable.reason, unreadable.message)
                    row = require_job(connection, row.job_id)
                    finish(connection, row, JobState.FAILED, Outcome.FAILED, now, error=error)
                    continue
                return Claim(row.job_id, attempt, worker, request, now + lease, row.trace)

    def renew(self, claim: Claim, lease: timedelta) -> bool:
        """Holds on to a job for ``lease`` from now; True where it should be cancelled.

        Also where the lease has ended, as long as nobody has done anything about that: no other attempt has begun.

        Raises:
            LeaseLost: it was lost: stop, and publish nothing.
        """
        with self._database.write() as connection:
            now = self._database.now()
            row = hold_or_held(connection, claim)
            connection.execute(
                update(job_attempts)
                .where(job_attempts.c.job_id == claim.job_id, job_attempts.c.attempt == claim.attempt)
                .values(lease_expires_at=now + lease)
            )
            return bool(row.cancel_requested)

    def record(self, claim: Claim, steps: Sequence[Progress]) -> None:
        """Stores progress, numbered on from what the job has. LeaseLost: it was lost, as for ``renew``."""
        if not steps:
            return
        with self._database.write() as connection:
            now = self._database.now()
            hold_or_held(connection, claim)
            last = connection.execute(
                select(func.max(job_progress.c.sequence)).where(job_progress.c.job_id == claim.job_id)
            ).scalar()
            connection.execute(
                insert(job_progress),
                [
                    {
                        "job_id": claim.job_id,
                        "sequence": sequence,
                        "attempt": claim.attempt,
                        "stage": step.stage,
                        "epoch": step.epoch,
                        "epochs": step.epochs,
                        "metrics": step.metrics,
                        "remaining_seconds": step.remaining_seconds,
                        "at": now,
                    }
                    for sequence, step in enumerate(steps, (last or 0) + 1)
                ],
            )

    def fail(self, claim: Claim, reason: str, message: str, *, retry: bool) -> Job:
        """Ends an attempt that went wrong; with ``retry`` and attempts left the job waits again.

        A job that was to be cancelled is CANCELLED instead. LeaseLost: it was lost.

        Args:
            reason: the name of an ErrorReason without its prefix.
            message: one sentence, safe to show to the caller.
        """
        with self._database.write() as connection:
            now = self._database.now()
            row = hold(connection, claim, now)
            if retry or row.cancel_requested:
                give_back(connection, row, Outcome.FAILED, now, error=(reason, message))
            else:
                finish(connection, row, JobState.FAILED, Outcome.FAILED, now, error=(reason, message))
            return job_from_row(require_job(connection, claim.job_id))

    def cancelled(self, claim: Claim) -> Job:
        """Says that the work has stopped because the job was to be cancelled.

        Raises:
            LeaseLost: it was lost.
            FailedPrecondition: JOB_NOT_CANCELLED, nobody had asked for it.
        """
        with self._database.write() as connection:
            now = self._database.now()
            row = hold(connection, claim, now)
            if not row.cancel_requested:
                raise FailedPrecondition("Nobody asked to cancel the job.", reason="JOB_NOT_CANCELLED")
            finish(connection, row, JobState.CANCELLED, Outcome.CANCELLED, now)
            return job_from_row(require_job(connection, claim.job_id))

    def release(self, claim: Claim) -> Job:
        """Gives the job back, as at a clean shutdown: it waits again and has lost no attempt.

        LeaseLost: it was lost.
        """
        with self._database.write() as connection:
            now = self._database.now()
            give_back(connection, hold(connection, claim, now), Outcome.RELEASED, now)
            return job_from_row(require_job(connection, claim.job_id))


def _step(row: Row[Any]) -> Progress:
    return Progress(
        stage=row.stage,
        epoch=row.epoch,
        epochs=row.epochs,
        metrics=row.metrics,
        remaining_seconds=row.remaining_seconds,
        sequence=row.sequence,
        attempt=row.attempt,
        at=row.at,
    )


def _end_leases(connection: Connection, now: datetime) -> None:
    rows = connection.execute(
        job_rows.where(jobs.c.state == JobState.RUNNING, job_attempts.c.lease_expires_at <= now).order_by(
            jobs.c.number
        )
    ).all()
    for row in rows:
        lease_ended(connection, row, now)


def _check_upload(connection: Connection, request: JobRequest) -> None:
    source = request.dataset.source
    if not isinstance(source, UploadedDataset):
        return
    known = connection.execute(
        select(uploads.c.upload_id).where(uploads.c.upload_id == source.upload_id)
    ).first()
    if known is None:
        raise NotFound(
            "There is no such upload.",
            reason="UPLOAD_NOT_FOUND",
            field="dataset.upload.upload_id",
            metadata={"upload_id": source.upload_id},
        )
