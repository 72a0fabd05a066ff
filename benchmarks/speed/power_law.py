"""Synthetic ratings as large as those of a film site: few users and items have most of them, and tastes differ."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TASTES = 40
"""Groups into which users and items fall."""
OWN_TASTE = 0.6
"""Share of a user's draws that go to items of the user's own group; the others go to all items."""


def power_law(
    users: int, items: int, ratings: int, *, seed: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Which user rated which item: ``ratings`` distinct pairs in random order; every user has one.

    Activity is log-normal over users. An item is drawn with a weight of (rank + 30)^-1.1 (Zipf's law after Mandelbrot),
    but no pair twice, so that the most popular items are rated by half of the users, as in MovieLens 20M.

    Returns:
        int32 (ratings,), in [0, users), and int32 (ratings,), in [0, items).
    """
    random = np.random.default_rng(seed)
    activity = np.cumsum(random.lognormal(sigma=1.1, size=users))
    weight = random.permutation((np.arange(items) + 30.0) ** -1.1)
    # Items stand in the order of their taste, so that a group is a range of the cumulated weights.
    bounds = np.linspace(0, items, TASTES + 1).astype(np.intp)
    cumulated = np.concatenate([[0.0], np.cumsum(weight)])
    low, high = cumulated[bounds[:-1]], cumulated[bounds[1:]]
    taste = random.integers(TASTES, size=users)

    # One pair for every user, so that none is left without; the rest as drawn, until there are enough.
    pairs = np.arange(users) * items + random.integers(items, size=users)
    while len(pairs) < ratings:
        user = np.searchsorted(activity, random.random(ratings) * activity[-1], side="right")
        own = random.random(ratings) < OWN_TASTE
        begin = np.where(own, low[taste[user]], 0.0)
        end = np.where(own, high[taste[user]], cumulated[-1])
        item = np.searchsorted(cumulated, begin + (end - begin) * random.random(ratings), side="right") - 1
        drawn = np.unique(user * items + np.minimum(item, items - 1))
        drawn = np.setdiff1d(drawn, pairs, assume_unique=True)
        pairs = np.concatenate([pairs, random.permutation(drawn)[: ratings - len(pairs)]])
    random.shuffle(pairs)
    return (pairs // items).astype(np.int32), (pairs % items).astype(np.int32)
