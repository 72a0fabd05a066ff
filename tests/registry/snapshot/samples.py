"""Small snapshot contents for tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot import RankingHead, RatedItems, RatingHead, Snapshot, SnapshotContent
from mfserve_registry.snapshot.content import Floats
from mfserve_registry.spec import RatingScale


@dataclass(frozen=True, slots=True)
class FullContent(SnapshotContent):
    """One with a rating head and what goes with it, for those who look at them."""

    scale: RatingScale
    mean_rating: float
    user_means: Floats
    item_means: Floats
    rating: RatingHead


def rating_of(made: SnapshotContent | Snapshot) -> RatingHead:
    """The rating head of one that has it."""
    assert made.rating is not None
    return made.rating


def without_ratings(content: SnapshotContent) -> SnapshotContent:
    """The same, trained on data without ratings."""
    return replace(content, scale=None, mean_rating=None, user_means=None, item_means=None, rating=None)


def rated_items(rows: Sequence[Sequence[int]]) -> RatedItems:
    """The CSR form of each user's item indices."""
    indptr = np.cumsum([0, *map(len, rows)], dtype=np.int64)
    return RatedItems(indptr, np.array([item for row in rows for item in sorted(row)], dtype=np.int32))


def random_content(
    seed: int = 0,
    *,
    users: int = 7,
    items: int = 11,
    factors: int = 3,
    ranking: bool = True,
    titles: bool = True,
) -> FullContent:
    """A content with every part filled; user 0 has rated nothing, item 0 was rated by nobody."""
    random = np.random.default_rng(seed)

    def floats(*shape: int, spread: float = 1.0) -> NDArray[np.float32]:
        return (spread * random.standard_normal(shape)).astype(np.float32)

    rows = [[], *([j for j in range(1, items) if random.random() < 0.4] for _ in range(users - 1))]
    rated = rated_items(rows)
    return FullContent(
        user_ids=[f"u{number}" for number in range(users)],
        item_ids=[f"i{number}" for number in range(items)],
        item_titles=[f"Film {number} – été" if number else "" for number in range(items)] if titles else None,
        scale=RatingScale(minimum=1, maximum=5),
        mean_rating=3.5,
        user_means=np.float32(3.5) + floats(users, spread=0.25),
        item_means=np.float32(3.5) + floats(items, spread=0.25),
        item_counts=np.bincount(rated.indices, minlength=items).astype(np.int32),
        rated=rated,
        rating=RatingHead(
            intercept=3.5,
            user_biases=floats(users, spread=0.25),
            item_biases=floats(items, spread=0.25),
            user_factors=floats(users, factors),
            item_factors=floats(items, factors),
            regularization=0.1,
            folds_bias=True,
        ),
        ranking=RankingHead(
            user_factors=floats(users, factors + 1),
            item_factors=floats(items, factors + 1),
            regularization=0.012,
            unobserved_weight=0.35,
            frequency_exponent=1.0,
            targets=(0.0, 0.1, 0.3, 0.6, 1.0),
        )
        if ranking
        else None,
        facts={"spec": {"seed": seed}, "dataset": {"name": "sample"}},
    )
