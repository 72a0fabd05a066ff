"""Latencies in a few numbers, and as a picture."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import pairwise

PERCENTILES = (50.0, 90.0, 99.0, 99.9)
_MOST_BINS = 16
_PER_DECADE = (16, 8, 4, 2, 1)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The smallest of the ascending values that ``percent`` of them do not exceed (nearest rank: no interpolation)."""
    # Rounded: 99.9 / 100 * 1000 is a little above 999.
    rank = math.ceil(round(percent / 100 * len(ordered), 6))
    return ordered[max(rank, 1) - 1]


def summary(ordered: Sequence[float]) -> dict[str, float]:
    """Percentiles, mean and largest of ascending values: ``{"p50": …, "p99.9": …, "max": …, "mean": …}``."""
    found = {f"p{percent:g}": percentile(ordered, percent) for percent in PERCENTILES}
    return found | {"max": ordered[-1], "mean": math.fsum(ordered) / len(ordered)}


def histogram(ordered: Sequence[float]) -> list[tuple[float, float, int]]:
    """Bins that are equally wide on a logarithmic scale, at most 16: lower edge, upper edge, how many are in between.

    The values are ascending and above 0. A value on an edge belongs to the bin below it.
    """
    decades = math.log10(ordered[-1] / ordered[0])
    per_decade = next((per for per in _PER_DECADE if decades * per <= _MOST_BINS - 2), 1)
    first = math.ceil(math.log10(ordered[0]) * per_decade) - 1
    last = max(math.ceil(math.log10(ordered[-1]) * per_decade), first + 1)
    edges = [10 ** (step / per_decade) for step in range(first, last + 1)]
    places = [0, *(bisect_right(ordered, edge) for edge in edges[1:-1]), len(ordered)]
    return [
        (lower, upper, above - below)
        for (lower, upper), (below, above) in zip(pairwise(edges), pairwise(places), strict=True)
    ]
