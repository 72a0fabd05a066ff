"""Small rating tables whose right answer is known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.spec import RatingScale
from mfserve_trainer.ratings import Ratings, from_codes

SCALE = RatingScale(minimum=1.0, maximum=5.0)
USERS, ITEMS = 60, 50


@dataclass(frozen=True)
class HeldOut:
    """Rows that an engine did not see, of users and items that it did."""

    user: NDArray[np.intp]
    item: NDArray[np.intp]
    rating: NDArray[np.float64]


def table(cells: list[tuple[int, int, float]]) -> Ratings:
    """Ratings of (user, item, rating) triples; numbers become ids of equal order."""
    user, item, rating = zip(*cells, strict=True)
    return from_codes(
        users=(user, [f"u{code:04}" for code in range(max(user) + 1)]),
        items=(item, [f"i{code:04}" for code in range(max(item) + 1)]),
        rating=rating,
        scale=SCALE,
        name="synthetic",
    )


def random_table(seed: int, users: int = USERS, items: int = ITEMS, share: float = 0.3) -> Ratings:
    """Whole-numbered ratings at random places; every user and item has one at least."""
    random = np.random.default_rng(seed)
    chosen = random.random((users, items)) < share
    chosen[np.arange(users), np.arange(users) % items] = True
    chosen[np.arange(items) % users, np.arange(items)] = True
    return table([(u, i, float(random.integers(1, 6))) for u, i in np.argwhere(chosen).tolist()])


def low_rank(seed: int = 0) -> tuple[Ratings, HeldOut]:
    """A rank-2 matrix with biases, values 1 to 5, of which 60 % is shown."""
    random = np.random.default_rng(seed)
    left, right = random.normal(size=(USERS, 2)), random.normal(size=(ITEMS, 2))
    raw = left @ right.T + random.normal(size=(USERS, 1)) + random.normal(size=ITEMS)
    truth = np.clip(3.0 + raw / raw.std(), 1.0, 5.0)
    return _shown(truth, random.random(truth.shape) < 0.6)


def two_camps(seed: int = 0) -> tuple[Ratings, HeldOut]:
    """A checkerboard: even users love even items, odd users odd ones, and mostly rate what they love."""
    random = np.random.default_rng(seed)
    camp = (np.arange(USERS)[:, None] + np.arange(ITEMS)) % 2 == 0
    truth = np.where(camp, 5.0, 1.0)
    return _shown(truth, random.random(truth.shape) < np.where(camp, 0.6, 0.1))


def _shown(truth: NDArray[np.float64], shown: NDArray[np.bool_]) -> tuple[Ratings, HeldOut]:
    assert shown.any(axis=0).all()
    assert shown.any(axis=1).all()
    user, item = np.nonzero(~shown)
    cells = [(u, i, float(truth[u, i])) for u, i in np.argwhere(shown).tolist()]
    return table(cells), HeldOut(user, item, truth[user, item])
