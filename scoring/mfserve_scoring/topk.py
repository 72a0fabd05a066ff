"""Exact top-k by inner product.

A float32 matrix product selects, a float64 rescoring decides. BLAS gives a pair another last bit when the batch is
larger or the item stands elsewhere; so its scores only rule items out, with a margin for their rounding error,
and the few that remain are scored by ``exact.dots``, which fixes their order and the score that is reported.
A user therefore gets the same bits alone, in any batch, and from a brute-force float64 computation.

The items are walked in chunks. Once a row has ``limit`` results, a chunk costs its matrix product and one
comparison pass, because almost nothing exceeds the row's threshold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfserve_scoring.exact import Doubles, Floats, Indices, dots, row_norms, to_float32
from mfserve_scoring.excluded import Excluded
from mfserve_scoring.margin import Margin

CHUNK = 8192
"""Items per matrix product: with 256 users the scores of a chunk (8 MiB) stay in the cache."""
_USERS = 256
"""Users per matrix product."""
_PAIRS = 16384
"""Pairs rescored at a time: bounds the memory even where all items tie."""

_LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True, slots=True)
class TopK:
    """The best items of each row of a batch, end to end.

    Attributes:
        indices: int32 (total,), best first; equal scores in ascending order of the index.
        scores: float64 (total,), not ascending within a row.
        counts: int32 (rows,); fewer than the limit only where fewer items remain.
    """

    indices: Indices
    scores: Doubles
    counts: Indices


class ExactTopK:
    """Finds the items of the highest score: score(u, i) = scale_i (u · q_i) + bias_i + offset_u.

    Args:
        items: float32 (n, k), finite. Kept as it is (memory-mapped) where it is C-contiguous, copied where not.
        bias: float32 (n,), or None for zeros.
        scale: float64 (n,), not negative, or None for ones.
        chunk: items per matrix product; changes the speed, never the answer.
    """

    def __init__(
        self,
        items: Floats,
        *,
        bias: Floats | None = None,
        scale: Doubles | None = None,
        chunk: int = CHUNK,
    ) -> None:
        self._chunk = chunk
        self._items = np.ascontiguousarray(items, dtype=np.float32)
        self._bias = bias
        self._scale = scale
        self._scale32 = None if scale is None else to_float32(scale)
        norms = row_norms(self._items)
        self._margin = Margin.of(norms, factors=self._items.shape[1], bias=bias, scale=scale)

    def search(
        self,
        users: Floats,
        limit: int,
        *,
        offsets: Doubles | None = None,
        excluded: Excluded | None = None,
    ) -> TopK:
        """The ``limit`` best items of each user.

        Args:
            users: float32 (rows, k), finite.
            limit: at least 1.
            offsets: float64 (rows,), or None for zeros.
            excluded: items that never appear, also where fewer than ``limit`` remain.
        """
        excluded = excluded or Excluded()
        users = np.ascontiguousarray(users, dtype=np.float32)
        if len(users) == 1 and len(self._items) <= self._chunk:
            return self._search_one(users, limit, offsets, excluded)
        if len(users) <= _USERS:
            return self._search(users, limit, offsets, excluded)
        blocks = [
            self._search(
                users[start : start + _USERS],
                limit,
                None if offsets is None else offsets[start : start + _USERS],
                excluded.block(start, start + _USERS),
            )
            for start in range(0, len(users), _USERS)
        ]
        return TopK(
            np.concatenate([block.indices for block in blocks]),
            np.concatenate([block.scores for block in blocks]),
            np.concatenate([block.counts for block in blocks]),
        )

    def _search(self, users: Floats, limit: int, offsets: Doubles | None, excluded: Excluded) -> TopK:
        rows, n = len(users), len(self._items)
        margins = self._margin.of_users(users, offsets)
        # Where float32 could overflow the margin is infinite: such a user's product is not even computed (zeros
        # stand in for it) and every item is rescored.
        multiplied = users if np.isfinite(margins).all() else np.where(np.isinf(margins)[:, None], 0, users)
        best = _Best(rows, min(limit, n))
        for start in range(0, n, self._chunk):
            scores = self._approximate(multiplied, start)
            excluded.mask(scores, start)
            cut = best.cut(scores, margins, offsets)
            flat = np.flatnonzero(scores > cut[:, None])
            if len(flat):
                row, column = np.divmod(flat, scores.shape[1])
                item = column + start
                best.merge(row, item, self._rescore(users, offsets, row, item))
        return best.result()

    def _search_one(self, user: Floats, limit: int, offsets: Doubles | None, excluded: Excluded) -> TopK:
        """The same for one user and one chunk, in few steps: here Python costs more than the arithmetic."""
        margin = float(self._margin.of_users(user, offsets)[0])
        scores = self._approximate(user if margin < np.inf else np.zeros_like(user), 0)
        excluded.mask(scores, 0)
        reached = float(_reached_by(scores, limit)[0])
        # A float64 bound makes numpy compare in float64, so nothing is rounded; a masked score never passes.
        item = np.flatnonzero(scores[0] >= np.float64(max(reached - 2 * margin, _LOWEST)))
        score = self._rescore(user, offsets, np.zeros_like(item), item)
        order = np.argsort(-score, kind="stable")[:limit]
        return TopK(item[order].astype(np.int32), score[order], np.array([len(order)], dtype=np.int32))

    def _approximate(self, users: Floats, start: int) -> Floats:
        """Scores without the users' offsets, in float32, C-contiguous (rows, items of the chunk)."""
        chunk = slice(start, start + self._chunk)
        scores: Floats = users @ self._items[chunk].T
        if self._scale32 is not None:
            scores *= self._scale32[chunk]
        if self._bias is not None:
            scores += self._bias[chunk]
        return scores

    def _rescore(
        self, users: Floats, offsets: Doubles | None, row: NDArray[np.intp], item: NDArray[np.intp]
    ) -> Doubles:
        """The deciding scores of pairs (row, item)."""
        scores = np.empty(len(row))
        for start in range(0, len(row), _PAIRS):
            pairs = slice(start, start + _PAIRS)
            scores[pairs] = dots(users[row[pairs]], self._items[item[pairs]])
        if self._scale is not None:
            scores *= self._scale[item]
        if self._bias is not None:
            scores += self._bias[item]
        if offsets is not None:
            scores += offsets[row]
        return scores


class _Best:
    """The best results of each row so far: scores descending, equal ones in ascending order of the item."""

    def __init__(self, rows: int, width: int) -> None:
        self._width = width
        self._scores = np.full((rows, width), -np.inf)
        self._items = np.zeros((rows, width), dtype=np.int32)
        self._empty = True

    def cut(self, scores: Floats, margins: Doubles, offsets: Doubles | None) -> Floats:
        """For each row, what a float32 score of the next chunk must exceed to be worth rescoring.

        A row that is full has an exact threshold: a later item must beat it, as it loses a tie by its index, so
        its approximate score lies above the threshold less one margin. In a row that is not, the chunk's
        own approximate scores give one, which may be too high by one margin itself.
        """
        worst = self._scores[:, -1]
        full = worst > -np.inf
        exceeds = worst - margins if offsets is None else worst - offsets - margins
        threshold = _round_down(exceeds)
        if not full.all():
            reaches = _round_down(_reached_by(scores, self._width) - 2 * margins)
            threshold = np.where(full, threshold, _next_below(reaches))
        return threshold

    def merge(self, row: NDArray[np.intp], item: NDArray[np.intp], score: Doubles) -> None:
        """Takes in scored pairs: rows ascending, items ascending within a row and above all items before."""
        counts = np.bincount(row, minlength=len(self._scores))
        old = 0 if self._empty else self._width
        rows = np.flatnonzero(counts)
        first = np.cumsum(counts) - counts
        place = np.empty(len(counts), dtype=np.intp)
        place[rows] = np.arange(len(rows))
        scores = np.full((len(rows), old + int(counts.max())), -np.inf)
        items = np.zeros(scores.shape, dtype=np.int32)
        scores[:, :old] = self._scores[rows, :old]
        items[:, :old] = self._items[rows, :old]
        column = old + np.arange(len(row)) - first[row]
        scores[place[row], column] = score
        items[place[row], column] = item
        # Stable: columns ascend by item among equal scores, so the order after sorting does too.
        order = np.argsort(-scores, axis=1, kind="stable")[:, : self._width]
        self._scores[rows, : order.shape[1]] = np.take_along_axis(scores, order, axis=1)
        self._items[rows, : order.shape[1]] = np.take_along_axis(items, order, axis=1)
        self._empty = False

    def result(self) -> TopK:
        found = self._scores > -np.inf
        counts = np.count_nonzero(found, axis=1).astype(np.int32)
        return TopK(self._items[found], self._scores[found], counts)


def _reached_by(scores: Floats, k: int) -> Doubles:
    """A score that at least k entries of the row reach, close to the k-th largest; -inf where there are fewer than k.

    The k-th largest of the maxima of disjoint groups is such a score, and finding it reads the scores once, where
    partitioning them all costs ten times the matrix product. With 16 groups for each of the k few more than
    k entries lie above it.
    """
    columns = scores.shape[1]
    if columns < k:
        return np.full(len(scores), -np.inf)
    groups = 16 * k
    depth = columns // groups
    if depth > 1:
        scores = scores[:, : depth * groups].reshape(len(scores), depth, groups).max(axis=1)
        columns = groups
    return np.partition(scores, columns - k, axis=1)[:, columns - k].astype(np.float64)


def _round_down(values: Doubles) -> Floats:
    """The largest float32 numbers that do not exceed ``values``; finite, so that -inf never passes them."""
    clipped = values.clip(_LOWEST, -_LOWEST)
    rounded = clipped.astype(np.float32)
    return np.where(rounded > clipped, _next_below(rounded), rounded)


def _next_below(values: Floats) -> Floats:
    with np.errstate(over="ignore"):  # below the lowest finite number is -inf, which is meant
        return np.nextafter(values, np.float32(-np.inf))
