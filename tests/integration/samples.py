"""Ratings that are trained on within a second, and the engines for it."""

from __future__ import annotations

import numpy as np

from mfserve import Als

QUICK = Als(factors=4, iterations=4)
"""A rating head that costs next to nothing: what matters is when a version is served."""

USERS = [f"u{number}" for number in range(60)]


def ratings(seed: int, items: int = 80) -> dict[str, list[object]]:
    """Ratings of a random half of all pairs, by a random matrix of rank 3."""
    random = np.random.default_rng(seed)
    wish = random.normal(size=(len(USERS), 3)) @ random.normal(size=(3, items))
    user, item = np.nonzero(random.random((len(USERS), items)) < 0.5)
    rating = np.clip(np.rint(3 + wish[user, item]), 1, 5)
    return {
        "user_id": [USERS[number] for number in user],
        "item_id": [f"i{number}" for number in item],
        "rating": rating.tolist(),
    }
