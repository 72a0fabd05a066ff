"""The life of a job, move by move."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from mfserve_registry import Claim, JobState, Progress, Registry
from mfserve_registry.errors import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    LeaseLost,
    NotFound,
)
from mfserve_registry.jobs import JobRequest
from mfserve_registry.spec import DatasetSpec, UploadedDataset
from mfserve_registry.tables import jobs
from tests.places import Place
from tests.registry.helpers import EPOCH, LEASE, Clock, claimed, publish, request, stage


def test_a_new_job_waits(registry: Registry) -> None:
    job, created = registry.jobs.submit(request())
    assert created
    assert job == registry.jobs.get(job.job_id)
    assert (job.state, job.attempt, job.attempts_left, job.revision) == (JobState.PENDING, 0, 3, 1)
    assert job.request == request()
    assert job.created_at == EPOCH
    assert job.created_at.tzinfo is not None
    assert (job.worker, job.version, job.started_at, job.finished_at) == (None, None, None, None)


def test_the_same_request_is_the_same_job(registry: Registry, clock: Clock) -> None:
    first, _ = registry.jobs.submit(request())
    clock.advance(LEASE)
    again, created = registry.jobs.submit(request())
    assert (again, created) == (first, False)


@pytest.mark.parametrize(
    "other", [request(seed=1), request(model="books"), request(promote_to_alias="candidate")]
)
def test_another_body_under_the_same_request_id_is_refused(registry: Registry, other: JobRequest) -> None:
    job, _ = registry.jobs.submit(request())
    with pytest.raises(AlreadyExists) as caught:
        registry.jobs.submit(other)
    assert (caught.value.reason, caught.value.field) == ("REQUEST_ID_REUSED", "request_id")
    assert caught.value.metadata["job_id"] == job.job_id


def test_bad_requests(registry: Registry) -> None:
    with pytest.raises(InvalidArgument) as caught:
        request(model="Movies")
    assert caught.value.field == "model"
    with pytest.raises(FailedPrecondition) as reserved:
        request(promote_to_alias="latest")
    assert (reserved.value.reason, reserved.value.field) == ("ALIAS_RESERVED", "promote_to_alias")
    with pytest.raises(InvalidArgument):
        registry.jobs.submit(request(), max_attempts=0)
    missing = replace(request(), dataset=DatasetSpec(source=UploadedDataset(upload_id="none")))
    with pytest.raises(NotFound) as unknown:
        registry.jobs.submit(missing)
    assert unknown.value.reason == "UPLOAD_NOT_FOUND"


def test_unknown_jobs(registry: Registry) -> None:
    calls: list[Callable[[str], object]] = [registry.jobs.get, registry.jobs.cancel, registry.jobs.progress]
    for call in calls:
        with pytest.raises(NotFound) as caught:
            call("nobody")
        assert caught.value.reason == "JOB_NOT_FOUND"


def test_jobs_are_claimed_in_order(registry: Registry) -> None:
    assert registry.jobs.claim("w", LEASE) is None
    for name in ("a", "b", "c"):
        registry.jobs.submit(request(name))
    claims = [registry.jobs.claim("w", LEASE) for _ in range(4)]
    assert [claim and claim.request.request_id for claim in claims] == ["a", "b", "c", None]


def test_a_claimed_job_runs(registry: Registry, clock: Clock) -> None:
    clock.advance(LEASE)
    claim = claimed(registry, request(), "worker 7")
    assert (claim.attempt, claim.worker, claim.lease_expires_at) == (1, "worker 7", clock.now + LEASE)
    job = registry.jobs.get(claim.job_id)
    assert (job.state, job.attempt, job.attempts_left, job.worker) == (JobState.RUNNING, 1, 2, "worker 7")
    assert job.started_at == clock.now


def test_progress_is_numbered_on_over_attempts(registry: Registry, clock: Clock) -> None:
    first = claimed(registry, request())
    registry.jobs.record(first, [Progress("loading"), Progress("rating fit", 1, 20, {"rmse": 1.25}, 9.5)])
    registry.jobs.record(first, [])
    clock.advance(LEASE)
    second = registry.jobs.claim("w", LEASE)
    assert second is not None
    registry.jobs.record(
        second, [Progress("loading", metrics={"a": math.nan, "b": math.inf, "c": -math.inf})]
    )
    steps = registry.jobs.progress(first.job_id)
    assert [(step.sequence, step.attempt, step.stage) for step in steps] == [
        (1, 1, "loading"),
        (2, 1, "rating fit"),
        (3, 2, "loading"),
    ]
    assert (steps[1].epoch, steps[1].epochs, steps[1].metrics) == (1, 20, {"rmse": 1.25})
    assert (steps[1].remaining_seconds, steps[1].at) == (9.5, EPOCH)
    assert str(steps[2].metrics) == "{'a': nan, 'b': inf, 'c': -inf}"
    assert [step.sequence for step in registry.jobs.progress(first.job_id, 2)] == [3]  # NaN equals nothing
    assert registry.jobs.progress(first.job_id, 99) == []


def test_a_lease_holds_as_long_as_it_is_renewed(registry: Registry, clock: Clock) -> None:
    claim = claimed(registry, request())
    for _ in range(5):
        clock.advance(LEASE - timedelta(microseconds=1))
        assert registry.jobs.renew(claim, LEASE) is False
        assert registry.jobs.claim("other", LEASE) is None
    # Nor is it lost when it ends, before somebody else takes the job: the database may have been away.
    clock.advance(10 * LEASE)
    registry.jobs.record(claim, [Progress("loading")])
    assert registry.jobs.renew(claim, LEASE) is False
    assert registry.jobs.claim("other", LEASE) is None
    clock.advance(LEASE)
    registry.jobs.cancel(claim.job_id)
    with pytest.raises(LeaseLost):
        registry.jobs.renew(claim, LEASE)


@pytest.mark.parametrize("taken", [False, True], ids=["lease ended", "claimed by another"])
def test_a_lost_claim_can_do_nothing(registry: Registry, clock: Clock, taken: bool) -> None:
    claim = claimed(registry, request())
    clock.advance(LEASE)
    if taken:
        assert registry.jobs.claim("other", LEASE) is not None
    before = registry.jobs.get(claim.job_id)
    staged, digest = stage(registry)
    held_no_more: list[Callable[[], object]] = [
        lambda: registry.jobs.renew(claim, LEASE),
        lambda: registry.jobs.record(claim, [Progress("loading")]),
    ]
    calls: list[Callable[[], object]] = [
        *(held_no_more if taken else ()),
        lambda: registry.jobs.fail(claim, "X", "x", retry=True),
        lambda: registry.jobs.cancelled(claim),
        lambda: registry.jobs.release(claim),
        lambda: registry.publish(claim, staged, digest),
    ]
    for call in calls:
        with pytest.raises(LeaseLost) as caught:
            call()
        assert caught.value.reason == "LEASE_LOST"
    assert registry.jobs.get(claim.job_id) == before
    assert not registry.snapshots.contains(digest)
    assert registry.models.list().items == []


def test_a_job_whose_workers_die_fails_in_the_end(registry: Registry, clock: Clock) -> None:
    registry.jobs.submit(request("a"))
    for attempt in (1, 2, 3):
        claim = registry.jobs.claim(f"w{attempt}", LEASE)
        assert claim is not None
        assert claim.attempt == attempt
        clock.advance(LEASE)
    assert registry.jobs.claim("w4", LEASE) is None
    job = registry.jobs.list().items[0]
    assert (job.state, job.error_reason, job.finished_at) == (
        JobState.FAILED,
        "ATTEMPTS_EXHAUSTED",
        clock.now,
    )
    assert job.worker == "w3"


def test_a_job_that_waits_again_goes_before_later_ones(registry: Registry, clock: Clock) -> None:
    claimed(registry, request("a"))
    registry.jobs.submit(request("b"))
    clock.advance(LEASE)
    claims = [registry.jobs.claim("w", LEASE) for _ in range(2)]
    assert [claim and claim.request.request_id for claim in claims] == ["a", "b"]


def test_failing_with_and_without_retry(registry: Registry) -> None:
    claim = claimed(registry, request())
    job = registry.jobs.fail(claim, "DATA_INVALID", "Line 7 is no rating.", retry=True)
    assert (job.state, job.attempts_left, job.finished_at) == (JobState.PENDING, 2, None)
    assert (job.error_reason, job.error_message) == ("DATA_INVALID", "Line 7 is no rating.")
    again = registry.jobs.claim("w", LEASE)
    assert again is not None
    job = registry.jobs.fail(again, "DATA_INVALID", "Line 7 is no rating.", retry=False)
    assert (job.state, job.error_reason) == (JobState.FAILED, "DATA_INVALID")


def test_the_last_attempt_fails_with_its_own_reason(registry: Registry) -> None:
    registry.jobs.submit(request(), max_attempts=1)
    claim = registry.jobs.claim("w", LEASE)
    assert claim is not None
    job = registry.jobs.fail(claim, "DISK_FULL", "No space.", retry=True)
    assert (job.state, job.error_reason) == (JobState.FAILED, "DISK_FULL")


def test_a_released_job_has_lost_no_attempt(registry: Registry) -> None:
    registry.jobs.submit(request(), max_attempts=1)
    for attempt in (1, 2, 3, 4):
        claim = registry.jobs.claim("w", LEASE)
        assert claim is not None
        assert claim.attempt == attempt
        job = registry.jobs.release(claim)
        assert (job.state, job.attempts_left, job.error_reason) == (JobState.PENDING, 1, None)
        assert (job.attempt, job.attempts_used) == (attempt, 0)
    assert registry.jobs.claim("w", LEASE) is not None
    job = registry.jobs.list().items[0]
    assert (job.attempt, job.attempts_used, job.attempts_left) == (5, 1, 0)


def test_cancelling_a_job_that_waits(registry: Registry) -> None:
    job, _ = registry.jobs.submit(request())
    assert registry.jobs.cancel(job.job_id).state is JobState.CANCELLED
    assert registry.jobs.claim("w", LEASE) is None


def test_cancelling_a_job_that_runs(registry: Registry) -> None:
    claim = claimed(registry, request())
    for _ in range(2):
        job = registry.jobs.cancel(claim.job_id)
        assert (job.state, job.cancel_requested) == (JobState.RUNNING, True)
    assert registry.jobs.renew(claim, LEASE) is True
    assert registry.jobs.cancelled(claim).state is JobState.CANCELLED


def test_cancelled_needs_a_cancel(registry: Registry) -> None:
    claim = claimed(registry, request())
    with pytest.raises(FailedPrecondition) as caught:
        registry.jobs.cancelled(claim)
    assert caught.value.reason == "JOB_NOT_CANCELLED"


@pytest.mark.parametrize("end", ["fail", "fail for good", "release", "lease"])
def test_once_cancelled_every_end_is_a_cancellation(registry: Registry, clock: Clock, end: str) -> None:
    claim = claimed(registry, request())
    registry.jobs.cancel(claim.job_id)
    if end == "release":
        registry.jobs.release(claim)
    elif end == "lease":
        clock.advance(LEASE)
        assert registry.jobs.claim("other", LEASE) is None
    else:
        registry.jobs.fail(claim, "X", "x", retry=end == "fail")
    job = registry.jobs.get(claim.job_id)
    assert (job.state, job.error_reason) == (JobState.CANCELLED, None)


def test_cancelling_a_job_whose_worker_is_gone(registry: Registry, clock: Clock) -> None:
    claim = claimed(registry, request())
    clock.advance(LEASE)
    assert registry.jobs.cancel(claim.job_id).state is JobState.CANCELLED


def test_a_finished_job_cannot_be_cancelled(registry: Registry) -> None:
    publish(registry)
    job = registry.jobs.list().items[0]
    with pytest.raises(FailedPrecondition) as caught:
        registry.jobs.cancel(job.job_id)
    assert caught.value.reason == "JOB_FINISHED"
    assert caught.value.metadata["state"] == "SUCCEEDED"


def test_listing(registry: Registry) -> None:
    for number in range(5):
        registry.jobs.submit(request(f"m{number}", "movies"))
        registry.jobs.submit(request(f"b{number}", "books"))
    registry.jobs.claim("w", LEASE)
    seen, token = [], ""
    while True:
        page = registry.jobs.list("movies", page_size=2, page_token=token)
        seen += [job.request_id for job in page.items]
        # What is added while somebody turns the pages does not shift them.
        registry.jobs.submit(request(f"late{len(seen)}", "movies"))
        if not (token := page.next_page_token):
            break
    assert seen == ["m4", "m3", "m2", "m1", "m0"]
    assert [job.request_id for job in registry.jobs.list(states=[JobState.RUNNING]).items] == ["m0"]
    assert registry.jobs.list("nothing").items == []
    first = registry.jobs.list("movies", page_size=1)
    with pytest.raises(InvalidArgument):
        registry.jobs.list("books", page_size=1, page_token=first.next_page_token)


@pytest.mark.parametrize("strange", [{"spec": {"quantum": 1}}, {"promote_to_alias": "latest"}])
def test_a_request_of_a_newer_release_fails_and_blocks_nobody(
    place: Place, registry: Registry, strange: dict[str, object]
) -> None:
    job, _ = registry.jobs.submit(request("a"))
    registry.jobs.submit(request("b"))
    this = jobs.c.job_id == job.job_id
    [(body,)] = place.rows(select(jobs.c.request).where(this))
    place.change(update(jobs).where(this).values(request=body | strange))
    claim: Claim | None = registry.jobs.claim("w", LEASE)
    assert claim is not None
    assert claim.request.request_id == "b"
    failed = registry.jobs.get(job.job_id)
    assert (failed.state, failed.error_reason) == (JobState.FAILED, "REQUEST_UNREADABLE")
    with pytest.raises(FailedPrecondition):
        _ = failed.request
