"""How like two versions' answers to one question are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Likeness(NamedTuple):
    """How like two lists of recommended items are.

    Attributes:
        overlap: items in both, as a share of the longer list; 0 to 1.
        rank_correlation: Kendall's tau-b of the two scores of the items in both, -1 to 1; None of fewer than two, and
            where all scores of one list are equal.
        score_shift: the second score less the first, on the average over the items in both; None of none.
    """

    overlap: float
    rank_correlation: float | None
    score_shift: float | None


def likeness(
    first_items: Sequence[str],
    first_scores: NDArray[np.floating],
    second_items: Sequence[str],
    second_scores: NDArray[np.floating],
) -> Likeness:
    """Compares two lists, of which one at least is not empty.

    Args:
        first_items, second_items: ids, each once.
        first_scores, second_scores: (n,), what the items are ranked by, higher is better.
    """
    places = {item: place for place, item in enumerate(second_items)}
    both = [(n, places[item]) for n, item in enumerate(first_items) if item in places]
    overlap = len(both) / max(len(first_items), len(second_items))
    if not both:
        return Likeness(overlap, None, None)
    ours, theirs = np.array(both).T
    first, second = first_scores[ours].astype(np.float64), second_scores[theirs].astype(np.float64)
    return Likeness(overlap, kendall_tau(first, second), float(np.mean(second - first)))


def kendall_tau(first: NDArray[np.float64], second: NDArray[np.float64]) -> float | None:
    """Kendall's tau-b of two columns of numbers, (n,); None where all of one are equal.

    Of all pairs of rows, those that both columns order alike less those that they order oppositely, over the geometric
    mean of the pairs that are not tied in the first and of those that are not in the second.

    Source: M. G. Kendall, The treatment of ties in ranking problems, Biometrika 33, 1945.
    """
    by_first = np.sign(first[:, None] - first)
    by_second = np.sign(second[:, None] - second)
    untied = np.sum(by_first**2) * np.sum(by_second**2)
    return float(np.sum(by_first * by_second) / np.sqrt(untied)) if untied else None
