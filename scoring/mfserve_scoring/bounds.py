"""How high the items from some place on can still score: what ends a search before the catalogue does.

By Cauchy and Schwarz u · q ≤ ‖u‖ ‖q‖. With R(s) the largest scaled norm and B(s) the largest bias among the items from
number s on, none of them scores more than ‖u‖ R(s) + B(s). Where the items are numbered by descending norm, as a
trained snapshot's are, this falls fast; in any other order it is as true and merely ends no search (Teflioudi, Gemulla
and Mykytiuk 2015, "LEMP: Fast Retrieval of Large Entries in a Matrix Product", section 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfserve_scoring.exact import Doubles, Floats

BLOCK = 128
"""Items that share one bound."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """R and B of one item matrix at every 128th item.

    Attributes:
        items: number of items.
        norm: float64 (blocks,), not ascending: the largest scale_i ‖q_i‖ of block b and all after it.
        bias: float64 (blocks,), not ascending: the largest bias_i, likewise.
    """

    items: int
    norm: Doubles
    bias: Doubles

    @classmethod
    def of(cls, norms: Doubles, bias: Floats | None) -> Bounds:
        """Of items with these scaled norms, float64 (n,), and biases, float32 (n,) or None for zeros."""
        starts = np.arange(0, len(norms), BLOCK)
        biases = np.zeros(len(starts)) if bias is None else _largest_from(bias, starts)
        return cls(len(norms), _largest_from(norms, starts), biases)

    @classmethod
    def none(cls, items: int) -> Bounds:
        """Bounds that nothing exceeds: with them every item is looked at."""
        blocks = -(-items // BLOCK)
        return cls(items, np.zeros(blocks), np.full(blocks, np.inf))

    def ahead(self, norms: Doubles, needed: Doubles, start: int, stop: int) -> tuple[NDArray[np.intp], int]:
        """Which users some item from ``start`` on may concern, and where to stop in front of ``stop``.

        Args:
            norms, needed: float64 (users,): a score concerns a user that exceeds what is needed.

        Returns:
            Their numbers, ascending; and how far the next chunk has to go for any of them: ``start`` for none.
        """
        blocks = slice(start // BLOCK, -(-stop // BLOCK))
        concerned = np.flatnonzero(norms * self.norm[blocks.start] + self.bias[blocks.start] > needed)
        if len(concerned) == len(needed):
            return concerned, stop  # of many users one may go far; and there is nothing to prune
        reach = np.multiply.outer(self.norm[blocks], norms[concerned]) + self.bias[blocks, np.newaxis]
        last = np.count_nonzero((reach > needed[concerned]).any(axis=1))
        return concerned, min(stop, BLOCK * (blocks.start + int(last)))

    def halved_by(self, item: int) -> bool:
        """Whether the norms from this item on are at most half of the largest."""
        return item < self.items and 0 < 2 * float(self.norm[item // BLOCK]) <= float(self.norm[0])

    def most(self, norm: float, start: int) -> float:
        """The most that an item from ``start`` on can score for a user of this norm; -inf where there is none."""
        if start >= self.items:
            return -math.inf
        block = start // BLOCK
        return norm * float(self.norm[block]) + float(self.bias[block])

    def end(self, norm: float, score: float) -> int:
        """The number of the item from which on none exceeds ``score`` for a user of this norm."""
        return min(self.items, BLOCK * int(np.count_nonzero(norm * self.norm + self.bias > score)))


def _largest_from(values: NDArray[np.floating], starts: NDArray[np.intp]) -> Doubles:
    """For each of ``starts`` the largest of ``values`` from there on, float64."""
    largest = np.maximum.reduceat(values, starts).astype(np.float64)
    return np.maximum.accumulate(largest[::-1])[::-1].copy()
