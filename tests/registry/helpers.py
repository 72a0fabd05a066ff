"""What the registry's tests share."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mfserve_registry import Artifact, Claim, JobRequest, Registry, Version
from mfserve_registry.snapshot import write_snapshot
from mfserve_registry.spec import BuiltinDataset, DatasetSpec, TrainingSpec
from tests.registry.snapshot.samples import random_content

LEASE = timedelta(seconds=30)
EPOCH = datetime(2030, 1, 1, 12, 0, 0, 123456, tzinfo=UTC)


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = EPOCH

    def __call__(self) -> datetime:
        return self.now

    def advance(self, step: timedelta) -> None:
        self.now += step


def request(
    request_id: str = "r1", model: str = "movies", *, promote_to_alias: str | None = None, seed: int = 0
) -> JobRequest:
    return JobRequest(
        model=model,
        dataset=DatasetSpec(source=BuiltinDataset(name="movielens-100k")),
        spec=TrainingSpec(seed=seed),
        promote_to_alias=promote_to_alias,
        request_id=request_id,
    )


def claimed(registry: Registry, job: JobRequest, worker: str = "w") -> Claim:
    """Submits the job and claims it; nothing else may be waiting."""
    registry.jobs.submit(job)
    claim = registry.jobs.claim(worker, LEASE)
    assert claim is not None
    assert claim.request == job
    return claim


def stage(registry: Registry, seed: int = 0) -> tuple[Path, str]:
    """A written snapshot, not committed, and its digest."""
    staged = registry.snapshots.stage()
    return staged, write_snapshot(staged, random_content(seed))


def publish(
    registry: Registry,
    request_id: str = "r1",
    model: str = "movies",
    *,
    promote_to_alias: str | None = None,
    seed: int = 0,
    artifacts: Sequence[Artifact] = (),
) -> Version:
    claim = claimed(registry, request(request_id, model, promote_to_alias=promote_to_alias))
    return registry.publish(claim, *stage(registry, seed), artifacts, metrics={"rmse": 0.9})
