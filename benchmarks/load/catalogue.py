"""Models made of random numbers, of any size, published as a training publishes one."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np

from mfserve_registry import JobRequest, Registry, Version
from mfserve_registry.snapshot import RankingHead, RatedItems, SnapshotContent, write_snapshot
from mfserve_registry.spec import BuiltinDataset, DatasetSpec, TrainingSpec

LEASE = timedelta(minutes=10)


def publish(
    home: Path, model: str, *, users: int, items: int, factors: int, seen: int = 20, seed: int = 0
) -> Version:
    """Publishes a ranking head of normal factors as the next version of a model. A few seconds for a million items.

    Users are "u0", "u1", …, items "i0", "i1", …; each user has rated ``seen`` items.
    """
    spec = TrainingSpec(seed=seed)
    request = JobRequest(
        model=model,
        dataset=DatasetSpec(source=BuiltinDataset(name="movielens-100k")),
        spec=spec,
        promote_to_alias="production",
        request_id=uuid4().hex,
    )
    with Registry.open(home) as registry:
        registry.jobs.submit(request)
        claim = registry.jobs.claim("benchmark", LEASE)
        assert claim is not None
        staged = registry.snapshots.stage()
        digest = write_snapshot(staged, random_content(users, items, factors, seen, seed, spec))
        return registry.publish(claim, staged, digest)


def random_content(
    users: int, items: int, factors: int, seen: int, seed: int, spec: TrainingSpec
) -> SnapshotContent:
    """Without titles and without a rating head."""
    random = np.random.default_rng(seed)

    def normal(count: int) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
        return random.standard_normal((count, factors), dtype=np.float32) / np.float32(factors**0.5)

    # Sorted numbers, the n-th of them raised by n, are distinct and ascending.
    rated = np.sort(random.integers(0, items - seen + 1, (users, seen), dtype=np.int32), axis=1)
    rated += np.arange(seen, dtype=np.int32)
    return SnapshotContent(
        user_ids=[f"u{number}" for number in range(users)],
        item_ids=[f"i{number}" for number in range(items)],
        item_titles=None,
        scale=None,
        mean_rating=None,
        user_means=None,
        item_means=None,
        item_counts=np.bincount(rated.ravel(), minlength=items).astype(np.int32),
        rated=RatedItems(np.arange(users + 1, dtype=np.int64) * seen, rated.ravel()),
        rating=None,
        ranking=RankingHead(
            user_factors=normal(users),
            item_factors=normal(items),
            regularization=0.01,
            unobserved_weight=0.1,
            frequency_exponent=1.0,
            targets=(0.0, 1.0),
        ),
        facts={
            "spec": spec.model_dump(mode="json"),
            "dataset": {"name": "random", "ratings": users * seen, "users": users, "items": items},
            "seed": seed,
        },
    )
