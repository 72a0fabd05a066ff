"""Versions, published through the real registry, for servers under test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

from mfserve_registry import Artifact, Claim, JobRequest, Registry, Version
from mfserve_registry.gates import GateReport
from mfserve_registry.snapshot import SnapshotContent, write_snapshot
from mfserve_registry.spec import AlsConfig, BuiltinDataset, DatasetSpec, TrainingSpec
from tests.registry.snapshot.samples import random_content

LEASE = timedelta(minutes=5)

FACTS: dict[str, Any] = {
    "spec": TrainingSpec(rating=AlsConfig(), seed=7).model_dump(mode="json"),
    "dataset": {
        "name": "sample",
        "fingerprint": "ab" * 32,
        "ratings": 30,
        "users": 7,
        "items": 11,
        "scale": {"minimum": 1.0, "maximum": 5.0},
        "period": [874_724_710, 10**18],
        "skipped": {"rating is not a number": 2},
    },
    "split": {"kind": "keyed_hash", "fraction": 0.2, "key": "mfserve"},
    "metrics": {
        "holdout_ratings": 6,
        "ranking_users": 3,
        "rating": [
            {"predictor": "RATING_HEAD", "mse": 0.81, "rmse": 0.9, "mae": 0.7},
            {"predictor": "GLOBAL_MEAN", "mse": 1.21, "rmse": 1.1, "mae": 0.9},
        ],
        "ranking": [
            {"ranker": "RANKING_HEAD", "ndcg_at_10": 0.4, "recall_at_20": 0.5, "coverage_at_10": 0.9},
            {"ranker": "POPULARITY", "ndcg_at_10": 0.2, "recall_at_20": 0.3, "coverage_at_10": 0.1},
        ],
    },
}

PICTURE = Artifact("training_curve.svg", "image/svg+xml", b"<svg/>")


def job_request(model: str = "movies", *, promote_to: str | None = None) -> JobRequest:
    return JobRequest(
        model=model,
        dataset=DatasetSpec(source=BuiltinDataset(name="movielens-100k")),
        spec=TrainingSpec(),
        promote_to_alias=promote_to,
        request_id=uuid4().hex,
    )


def claim(registry: Registry, model: str = "movies", *, promote_to: str | None = None) -> Claim:
    """A new job, claimed."""
    registry.jobs.submit(job_request(model, promote_to=promote_to))
    found = registry.jobs.claim("test", LEASE)
    assert found is not None
    return found


def publish(
    registry: Registry,
    model: str = "movies",
    *,
    seed: int = 0,
    promote_to: str | None = None,
    content: SnapshotContent | None = None,
    artifacts: Sequence[Artifact] = (PICTURE,),
    gates: GateReport | None = None,
) -> Version:
    """The next version of ``model``: ``content``, or a small random one made of ``seed``."""
    held = claim(registry, model, promote_to=promote_to)
    made = replace(random_content(seed), facts={**FACTS, "seed": seed}) if content is None else content
    return fulfil(registry, held, made, artifacts, gates)


def fulfil(
    registry: Registry,
    held: Claim,
    content: SnapshotContent,
    artifacts: Sequence[Artifact] = (),
    gates: GateReport | None = None,
) -> Version:
    """What a trainer does with a claimed job once it has trained."""
    staged = registry.snapshots.stage()
    digest = write_snapshot(staged, content)
    return registry.publish(held, staged, digest, artifacts, gates=gates)
