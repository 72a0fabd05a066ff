"""Submitters, workers and readers as real processes on one registry."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from mfserve_registry import Job, JobState, Registry
from mfserve_registry.errors import Aborted
from tests.places import Place
from tests.registry.helpers import JOBS, publish, request, run_together


def test_one_request_id_makes_one_job_whoever_asks(place: Place) -> None:
    outputs = run_together("submit", place)
    answers: dict[object, set[object]] = {}
    for line in (line for output in outputs for line in output):
        answers.setdefault(line["request_id"], set()).add(line["job_id"])
    assert len(answers) == JOBS
    assert all(len(jobs) == 1 for jobs in answers.values())
    created = Counter(line["request_id"] for output in outputs for line in output if line["created"])
    assert created == dict.fromkeys(answers, 1)
    with place.open() as registry:
        assert len(registry.jobs.list().items) == JOBS


def test_workers_share_the_queue_and_no_version_comes_twice(place: Place) -> None:
    """Each attempt belongs to one worker; some give their job back or fail it; every job ends once."""
    with place.open() as registry:
        for number in range(JOBS):
            registry.jobs.submit(request(f"r{number}", f"model{number % 2}"), max_attempts=9)
    lines = [line for output in run_together("work", place) for line in output]
    attempts = Counter((line["job_id"], line["attempt"]) for line in lines)
    assert set(attempts.values()) == {1}
    published = [line for line in lines if line["version"] is not None]
    assert len(published) == len({line["job_id"] for line in published}) == JOBS
    assert len(lines) > JOBS
    with place.open() as registry:
        jobs = registry.jobs.list().items
        assert {job.state for job in jobs} == {JobState.SUCCEEDED}
        for model in ("model0", "model1"):
            numbers = [version.version for version in registry.models.list_versions(model).items]
            assert numbers == list(range(JOBS // 2, 0, -1))
        for job in jobs:
            steps = registry.jobs.progress(job.job_id)
            assert [step.sequence for step in steps] == list(range(1, len(steps) + 1))
            assert {step.attempt for step in steps} == set(range(1, job.attempt + 1))


def test_of_two_moves_from_one_revision_one_wins(place: Place) -> None:
    with place.open() as registry:
        publish(registry)
    lines = [line for output in run_together("move", place) for line in output]
    won = [line["revision"] for line in lines if line["won"]]
    assert sorted(won, key=str) == sorted(set(won), key=str)
    with place.open() as registry:
        assert registry.aliases.get("movies", "production").revision == 1 + len(won)


def test_many_threads_share_one_registry(registry: Registry) -> None:
    publish(registry)

    def call(number: int) -> tuple[Job, bool]:
        submitted = registry.jobs.submit(request(f"r{number % 10}"))
        registry.models.resolve("movies")
        with suppress(Aborted):
            registry.aliases.set("movies", "x", 1, expected_revision=number % 5)
        return submitted

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(call, range(200)))
    # r1 was published under its own name before.
    assert sum(created for _, created in answers) == 9
    assert len({job.job_id for job, _ in answers}) == 10
