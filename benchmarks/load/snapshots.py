"""Random snapshots of any size, published straight through the registry: what a large catalogue weighs, untrained."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import numpy as np

from mfserve_registry import JobRequest, Registry, Version
from mfserve_registry.snapshot import RankingHead, RatedItems, SnapshotContent, write_snapshot
from mfserve_registry.spec import BuiltinDataset, DatasetSpec, TrainingSpec

_LEASE = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Size:
    """How large a snapshot is.

    Attributes:
        users, items: how many.
        factors: columns of the ranking head, its only head.
        rated: most items that a user has rated; the least is half of it.
    """

    users: int
    items: int
    factors: int = 64
    rated: int = 20


FULL = Size(1_000_000, 1_000_000)
QUICK = Size(5_000, 20_000, factors=16)
SMALL = Size(1_000, 2_000, factors=20)


def publish(registry: Registry, model: str, size: Size, *, seed: int = 0, promote: bool = True) -> Version:
    """Publishes the next version of ``model``; the same seed gives the same digest.

    Args:
        promote: whether ``production`` names it at once.
    """
    registry.jobs.submit(
        JobRequest(
            model=model,
            dataset=DatasetSpec(source=BuiltinDataset(name="movielens-100k")),
            spec=TrainingSpec(),
            promote_to_alias="production" if promote else None,
            request_id=uuid4().hex,
        )
    )
    claim = registry.jobs.claim("benchmark", _LEASE)
    assert claim is not None
    staged = registry.snapshots.stage()
    return registry.publish(claim, staged, write_snapshot(staged, random_content(size, seed)), ())


def random_content(size: Size, seed: int) -> SnapshotContent:
    """Normally distributed factors, so that no norm order or bound saves a search anything; no rating head."""
    random = np.random.default_rng(seed)
    rated = _random_rated(size, random)

    def factors(rows: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        return random.standard_normal((rows, size.factors), dtype=np.float32)

    return SnapshotContent(
        user_ids=[f"u{number}" for number in range(size.users)],
        item_ids=[f"i{number}" for number in range(size.items)],
        item_titles=None,
        scale=None,
        mean_rating=None,
        user_means=None,
        item_means=None,
        item_counts=np.bincount(rated.indices, minlength=size.items).astype(np.int32),
        rated=rated,
        rating=None,
        ranking=RankingHead(
            user_factors=factors(size.users),
            item_factors=factors(size.items),
            regularization=1.0,
            unobserved_weight=0.1,
            frequency_exponent=1.0,
            targets=(1.0, 1.0),
        ),
        facts={"seed": seed},
    )


def _random_rated(size: Size, random: np.random.Generator) -> RatedItems:
    """Each user's items ascend by random steps, which is much quicker than to sort random ones."""
    indptr = np.zeros(size.users + 1, dtype=np.int64)
    np.cumsum(random.integers(size.rated // 2, size.rated, size.users, endpoint=True), out=indptr[1:])
    steps = random.integers(1, size.items // size.rated, indptr[-1], endpoint=True)
    sums = np.cumsum(steps)
    before = np.repeat(sums[indptr[:-1]] - steps[indptr[:-1]], np.diff(indptr))
    return RatedItems(indptr, (sums - before - 1).astype(np.int32))
