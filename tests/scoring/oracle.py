"""The right answers, computed the long way: every score in float64, a full sort, one user at a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray


def scores_of(
    user: NDArray[np.float32],
    items: NDArray[np.float32],
    bias: NDArray[np.float32] | None = None,
    offset: float = 0.0,
) -> NDArray[np.float64]:
    """The float64 score of every item, summed in the order that ``exact.dots`` promises."""
    scores: NDArray[np.float64] = np.einsum("ik,k->i", items.astype(np.float64), user.astype(np.float64))
    if bias is not None:
        scores = scores + bias.astype(np.float64)
    return scores + offset


def best(scores: NDArray[Any], limit: int, excluded: Iterable[int] = ()) -> list[int]:
    """The ``limit`` best items, ties in ascending order of the index."""
    left_out = {int(item) for item in excluded}
    candidates = [item for item in range(len(scores)) if item not in left_out]
    return sorted(candidates, key=lambda item: (-float(scores[item]), item))[:limit]
