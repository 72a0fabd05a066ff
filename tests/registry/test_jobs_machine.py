"""Random histories of one queue against a model of a few lines."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from mfserve_registry import Claim, JobState, Progress
from mfserve_registry.errors import FailedPrecondition, LeaseLost
from tests.backends import place_of
from tests.places import Place
from tests.registry.helpers import LEASE, Clock, request, stage


@dataclass
class Expected:
    """What a job should be."""

    state: str = "PENDING"
    attempt: int = 0
    left: int = 2
    cancel: bool = False
    expires: float = 0.0
    steps: list[int] = field(default_factory=list)
    version: int | None = None


class JobMachine(RuleBasedStateMachine):
    claims: Bundle[tuple[int, Claim]] = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.closing = ExitStack()
        home = Path(self.closing.enter_context(tempfile.TemporaryDirectory()))
        self.clock = Clock()
        place = self.closing.enter_context(self.place_of(home))
        self.registry = self.closing.enter_context(place.open(clock=self.clock))
        self.jobs: list[Expected] = []
        self.ids: list[str] = []
        self.versions = 0
        self.time = 0.0

    @staticmethod
    def place_of(home: Path) -> AbstractContextManager[Place]:
        raise NotImplementedError

    def teardown(self) -> None:
        self.closing.close()

    @rule()
    def submit(self) -> None:
        job, created = self.registry.jobs.submit(request(f"r{len(self.jobs)}"), max_attempts=2)
        assert created
        self.ids.append(job.job_id)
        self.jobs.append(Expected())

    @rule(data=st.data())
    def submit_again(self, data: st.DataObject) -> None:
        if self.jobs:
            number = data.draw(st.integers(0, len(self.jobs) - 1))
            job, created = self.registry.jobs.submit(request(f"r{number}"))
            assert (job.job_id, created) == (self.ids[number], False)

    @rule(seconds=st.sampled_from([1, 29, 30]))
    def wait(self, seconds: int) -> None:
        self.time += seconds
        self.clock.advance(LEASE * seconds / 30)

    @rule(target=claims)
    def claim(self) -> tuple[int, Claim] | MultipleResults[tuple[int, Claim]]:
        for job in self.jobs:
            if job.state == "RUNNING" and job.expires <= self.time:
                job.state = "CANCELLED" if job.cancel else "PENDING" if job.left else "FAILED"
        claim = self.registry.jobs.claim("w", LEASE)
        waiting = [number for number, job in enumerate(self.jobs) if job.state == "PENDING"]
        if not waiting:
            assert claim is None
            return multiple()
        assert claim is not None
        job = self.jobs[waiting[0]]
        job.state, job.attempt, job.left, job.expires = (
            "RUNNING",
            job.attempt + 1,
            job.left - 1,
            self.time + 30,
        )
        assert (claim.job_id, claim.attempt) == (self.ids[waiting[0]], job.attempt)
        return waiting[0], claim

    @rule(held=claims)
    def renew(self, held: tuple[int, Claim]) -> None:
        if job := self.holder(held, lambda claim: self.registry.jobs.renew(claim, LEASE), ended=True):
            job.expires = self.time + 30

    @rule(held=claims, count=st.integers(1, 3))
    def record(self, held: tuple[int, Claim], count: int) -> None:
        steps = [Progress("fit")] * count
        if job := self.holder(held, lambda claim: self.registry.jobs.record(claim, steps), ended=True):
            job.steps += [job.attempt] * count

    @rule(held=claims, retry=st.booleans())
    def fail(self, held: tuple[int, Claim], retry: bool) -> None:
        if job := self.holder(held, lambda claim: self.registry.jobs.fail(claim, "X", "x", retry=retry)):
            job.state = "CANCELLED" if job.cancel else "PENDING" if retry and job.left else "FAILED"

    @rule(held=claims)
    def release(self, held: tuple[int, Claim]) -> None:
        if job := self.holder(held, self.registry.jobs.release):
            job.left += not job.cancel
            job.state = "CANCELLED" if job.cancel else "PENDING"

    @rule(held=claims)
    def stop(self, held: tuple[int, Claim]) -> None:
        job = self.jobs[held[0]]
        if self.holds(held) and not job.cancel:
            with pytest.raises(FailedPrecondition, match="Nobody asked"):
                self.registry.jobs.cancelled(held[1])
        elif self.holder(held, self.registry.jobs.cancelled):
            job.state = "CANCELLED"

    @rule(held=consumes(claims), seed=st.integers(0, 2))
    def publish(self, held: tuple[int, Claim], seed: int) -> None:
        staged, digest = stage(self.registry, seed)
        job = self.jobs[held[0]]
        if self.holds(held) and job.cancel:
            with pytest.raises(FailedPrecondition) as caught:
                self.registry.publish(held[1], staged, digest)
            assert caught.value.reason == "JOB_CANCELLED"
        elif self.holder(held, lambda claim: self.registry.publish(claim, staged, digest)):
            self.versions += 1
            job.state, job.version = "SUCCEEDED", self.versions

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if not self.jobs:
            return
        number = data.draw(st.integers(0, len(self.jobs) - 1))
        job = self.jobs[number]
        if job.state in ("SUCCEEDED", "FAILED", "CANCELLED"):
            with pytest.raises(FailedPrecondition):
                self.registry.jobs.cancel(self.ids[number])
            return
        self.registry.jobs.cancel(self.ids[number])
        job.cancel = True
        if job.state == "PENDING" or job.expires <= self.time:
            job.state = "CANCELLED"

    @invariant()
    def all_is_as_expected(self) -> None:
        found = {job.job_id: job for job in self.registry.jobs.list().items}
        assert len(found) == len(self.jobs)
        for job_id, job in zip(self.ids, self.jobs, strict=True):
            real = found[job_id]
            assert (real.state, real.attempt, real.attempts_left, real.cancel_requested, real.version) == (
                job.state,
                job.attempt,
                job.left,
                job.cancel,
                job.version,
            )
            assert (real.finished_at is not None) == JobState(job.state).finished
            steps = self.registry.jobs.progress(job_id)
            assert [(step.sequence, step.attempt) for step in steps] == list(enumerate(job.steps, 1))

    def holds(self, held: tuple[int, Claim], *, ended: bool = False) -> bool:
        """Whether the claim is that of the running attempt, and its lease has not ended or may have ``ended``."""
        job = self.jobs[held[0]]
        runs = job.state == "RUNNING" and job.attempt == held[1].attempt
        return runs and (ended or job.expires > self.time)

    def holder(
        self, held: tuple[int, Claim], call: Callable[[Claim], object], *, ended: bool = False
    ) -> Expected | None:
        """Makes the call with the claim; the job if the claim held it, else None and the call was refused."""
        if self.holds(held, ended=ended):
            call(held[1])
            return self.jobs[held[0]]
        with pytest.raises(LeaseLost):
            call(held[1])
        return None


@pytest.mark.parametrize(("kind", "examples"), [("sqlite-folder", 25), ("postgres-s3", 5)])
def test_whatever_happens_to_jobs(kind: str, examples: int, request: pytest.FixtureRequest) -> None:
    class There(JobMachine):
        @staticmethod
        def place_of(home: Path) -> AbstractContextManager[Place]:
            return place_of(kind, home, request)

    run_state_machine_as_test(There, settings=settings(max_examples=examples, stateful_step_count=30))
