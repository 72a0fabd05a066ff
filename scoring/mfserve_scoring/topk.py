"""Exact top-k by inner product.

A float32 matrix product selects, a float64 rescoring decides. BLAS gives a pair another last bit when the batch is
larger or the item stands elsewhere; so its scores only rule items out, with a margin for their rounding error,
and the few that remain are scored by ``exact.dots``, which fixes their order and the score that is reported.
A user therefore gets the same bits alone, in any batch, and from a brute-force float64 computation.

The items are walked in chunks that grow. Once a row has ``limit`` results, a chunk costs its matrix product and one
comparison pass, because almost nothing exceeds the row's threshold; and a row whose threshold nothing further on
can exceed (see ``Bounds``) is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mfserve_scoring.best import Best, Pairs, below, below_one, reached_by
from mfserve_scoring.bounds import Bounds
from mfserve_scoring.exact import Doubles, Floats, Indices, dots, dots_of_one, row_norms, to_float32
from mfserve_scoring.excluded import NOTHING, Excluded, Mask, column_of
from mfserve_scoring.margin import Margin
from mfserve_scoring.products import FEW, Scores, multiply, room_for

CHUNK = 8192
"""Most items per matrix product: with 256 users the scores of a chunk (8 MiB) stay in the cache."""
FIRST = 768
"""Items of the first product: where they are in descending order of their norms, most searches end after them."""
PART = 1 << 17
"""Items after which others may join a search that no bound can end early (see ``Searches``)."""
_LARGER = 16
"""Times the chunk, at most, for fewer users than ``FEW``, whose scores take no more room. After each call of numpy's a
busy event loop may have the interpreter, and a search in a thousand small steps waits for it a thousand times."""
_USERS = 256
"""Users per matrix product: their scores of the first chunk (0.8 MiB) stay in a core's own cache, through which they go
four times."""
_MOST_USERS = 1024
"""Users searched together: what numpy's calls cost between the products is then shared by more."""
_NUMBERS = 1 << 15
"""Numbers of the factors rescored at a time: 256 KiB in float64, which the cache holds even where all items tie."""
_MORE = 6
"""Items selected for one user beyond those wanted: so many rarely are within float32's error of the last one."""


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


class _Block(NamedTuple):
    """Users of one matrix product.

    Attributes:
        rows: intp (n,), ascending: which rows of the batch these are.
        users: float32 (n, k).
        mask: of the same rows.
    """

    rows: NDArray[np.intp]
    users: Floats
    mask: Mask


class _One(NamedTuple):
    """One user's search: the arguments of ``ExactTopK.search_one``.

    Attributes:
        doubles: ``user`` in float64.
    """

    user: Floats
    doubles: Doubles
    limit: int
    offset: float | None
    excluded: Indices


class ExactTopK:
    """Finds the items of the highest score: score(u, i) = scale_i (u · q_i) + bias_i + offset_u.

    Args:
        items: float32 (n, k), finite. Kept as it is (memory-mapped) where it is C-contiguous, copied where not.
        bias: float32 (n,), or None for zeros.
        scale: float64 (n,), not negative, or None for ones.
        prune: whether a search may end before the last item; changes the speed, never the answer.
        chunk: most items of one matrix product with many users; changes the speed, never the answer.
        part: most items of a part of a search that cannot end early.

    Attributes:
        parts: number of parts that ``search_part`` knows: 1 where a search may end early, or few items are searched.
    """

    def __init__(
        self,
        items: Floats,
        *,
        bias: Floats | None = None,
        scale: Doubles | None = None,
        prune: bool = True,
        chunk: int = CHUNK,
        part: int = PART,
    ) -> None:
        self._chunk = chunk
        self._items = np.ascontiguousarray(items, dtype=np.float32)
        self._bias = bias
        self._scale = scale
        self._scale32 = None if scale is None else to_float32(scale)
        self._pairs = max(1, _NUMBERS // self._items.shape[1])
        norms = row_norms(self._items)
        self._margin = Margin.of(norms, factors=self._items.shape[1], bias=bias, scale=scale)
        if scale is not None:
            norms *= scale
        self._bounds = Bounds.of(norms, bias) if prune else Bounds.none(len(norms))
        ends_early = self._bounds.halved_by(FIRST)
        # Where no search can end early, small chunks only cost.
        self._first = FIRST if ends_early else chunk
        self.parts = 1 if ends_early else max(-(-len(self._items) // part), 1)
        self._part = -(-len(self._items) // self.parts)  # all take equally long

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
        if len(users) == 1:
            offset = None if offsets is None else float(offsets[0])
            item, score = self.search_one(users[0], limit, offset=offset, excluded=excluded.of(0))
            return TopK(item, score, np.array([len(item)], dtype=np.int32))
        return _joined(
            [
                self._search(
                    users[rows], limit, None if offsets is None else offsets[rows], excluded.take(rows)
                )
                for rows in _parts(len(users))
            ]
        )

    def search_part(
        self,
        part: int,
        users: Floats,
        limit: int,
        reached: Doubles,
        *,
        offsets: Doubles | None = None,
        excluded: Excluded | None = None,
    ) -> TopK:
        """Of the items of one part, those among each user's ``limit`` best that reach a score.

        A few that do not quite reach it may be among them.

        Args:
            part: 0 to ``parts`` - 1.
            reached: float64 (rows,), not NaN: the scores; -inf for a user with whom it does not matter.
            users, limit, offsets, excluded: as for ``search``.
        """
        excluded = excluded or Excluded()
        items = slice(part * self._part, (part + 1) * self._part) if self.parts > 1 else slice(None)
        users = np.ascontiguousarray(users, dtype=np.float32)
        return _joined(
            [
                self._search_part(
                    items,
                    users[rows],
                    limit,
                    reached[rows],
                    None if offsets is None else offsets[rows],
                    excluded.take(rows),
                )
                for rows in _parts(len(users))
            ]
        )

    def _search_part(
        self,
        items: slice,
        users: Floats,
        limit: int,
        reached: Doubles,
        offsets: Doubles | None,
        excluded: Excluded,
    ) -> TopK:
        _, margins = self._margin.of_users(users.astype(np.float64), offsets)
        needed = reached - margins if offsets is None else reached - offsets - margins
        # An item that ties may be an earlier one than that which it ties with.
        needed = np.nextafter(needed, -np.inf)
        fresh = np.flatnonzero((needed == -np.inf) & (margins < np.inf))
        if len(fresh):  # else all others would have to walk in small steps with them
            start, end, _ = items.indices(len(self._items))
            stop = self._after(start, end, 0, limit)
            needed[fresh] = self._thresholds(
                users[fresh], limit, margins[fresh], excluded.take(fresh), start, stop
            )
        return self._search(users, limit, offsets, excluded, items, needed)

    def _thresholds(
        self, users: Floats, limit: int, margins: Doubles, excluded: Excluded, start: int, stop: int
    ) -> Doubles:
        """What the best ``limit`` items of a chunk reach for each user, without the offset and float32's error."""
        needed = np.empty(len(users))
        for block in _blocks(np.arange(len(users)), users, excluded):
            room = np.empty(room_for(len(block.rows), stop - start), dtype=np.float32)
            scores = self._scores(block, start, stop, room, by_item=False)
            needed[block.rows] = reached_by(scores.matrix, limit) - 2 * margins[block.rows]
        return needed

    def search_one(
        self, user: Floats, limit: int, *, offset: float | None = None, excluded: Indices = NOTHING
    ) -> tuple[Indices, Doubles]:
        """The same for one user in few steps: on a small catalogue Python costs more than the arithmetic.

        Args:
            user: float32 (k,), finite.
            limit: at least 1.
            offset: finite, or None for 0.
            excluded: int32 (m,), items that never appear, in any order, repeats allowed.

        Returns:
            int32 and float64 (found,): items and their scores, bit for bit those of ``search``.
        """
        one = _One(user, user.astype(np.float64), limit, offset, excluded)
        norm, margin = self._margin.of_user(one.doubles, offset or 0.0)
        found = self._best_of_first(one, norm, margin)
        return found or self._ranked(one, self._candidates(one, norm, margin))

    def _best_of_first(self, one: _One, norm: float, margin: float) -> tuple[Indices, Doubles] | None:
        """The answer, where items of the first chunk are known to be it; mostly they are.

        One selection takes a few items more than are wanted. What it leaves, in the chunk or behind it, is out where it
        cannot come near the last one wanted.
        """
        limit = one.limit
        stop, wanted = self._after(0, len(self._items), 0, limit), limit + _MORE
        if wanted >= stop or margin == np.inf:
            return None
        scores = self._scores_of_one(one.user, 0, stop, one.excluded)
        item = scores.argpartition(stop - wanted)[stop - wanted :]
        left = scores.item(item.item(0))
        if left == -np.inf:  # excluded items are among those selected
            return None
        item.sort()
        found = self._ranked(one, item)
        last = found[1].item(-1) - (one.offset or 0.0)
        return found if max(left, self._bounds.most(norm, stop)) < last - 2 * margin else None

    def _ranked(self, one: _One, item: NDArray[np.intp]) -> tuple[Indices, Doubles]:
        """The best of these items, ascending, by the scores that decide."""
        score = self._rescore(one.doubles[np.newaxis], None, None, item)
        if one.offset is not None:
            score += one.offset
        order = (-score).argsort(kind="stable")[: one.limit]
        return item.take(order).astype(np.int32), score.take(order)

    def _candidates(self, one: _One, norm: float, margin: float) -> NDArray[np.intp]:
        """Items, ascending, among which are the ``limit`` best ones of one user."""
        limit = one.limit
        user = one.user if margin < np.inf else np.zeros_like(one.user)
        items: list[NDArray[np.intp]] = []
        scores: list[Floats] = []
        reached = -np.inf  # by the float32 scores of ``limit`` items
        start, stop = 0, self._after(0, len(self._items), 0, limit)
        while start < stop:
            chunk = self._scores_of_one(user, start, stop, one.excluded)
            if reached == -np.inf:
                reached = float(reached_by(chunk, limit))
            high = (chunk > below_one(reached - 2 * margin)).nonzero()[0]
            items.append(high + start if start else high)
            stop, start = self._after(stop, len(self._items), stop, limit), stop
            stop = min(stop, self._bounds.end(norm, reached - 2 * margin))
            if start < stop:
                scores.append(chunk[high])
                reached = max(reached, float(reached_by(np.concatenate(scores), limit)))
        return items[0] if len(items) == 1 else np.concatenate(items)

    def _search(
        self,
        users: Floats,
        limit: int,
        offsets: Doubles | None,
        excluded: Excluded,
        items: slice = slice(None),
        needed: Doubles | None = None,
    ) -> TopK:
        """The best of some items.

        Args:
            needed: float64 (rows,): what an item's score without the offset must exceed, float32's error granted, to
                get into the results; -inf, or None for all, where that is not known. Overwritten.
        """
        start, end, _ = items.indices(len(self._items))
        limit = min(limit, len(self._items))
        doubles = users.astype(np.float64)  # once, rather than for each pair
        norms, margins = self._margin.of_users(doubles, offsets)
        needed = np.full(len(users), -np.inf) if needed is None else needed
        best, pending = Best(len(users), limit), Pairs()
        # Zeros where the product could overflow. There the margin is infinite, and every item is rescored.
        overflows = np.isinf(margins)
        multiplied = np.where(overflows[:, None], np.float32(0), users) if overflows.any() else users
        rows = np.arange(len(users))
        blocks = _blocks(rows, multiplied, excluded)
        # One array for all products: a fresh one for each would cost as much as the product.
        room = np.empty(0, dtype=np.float32)
        # Whoever has a threshold has as good as seen all the items.
        seen = 0 if (needed[~overflows] == -np.inf).any() else len(self._items)
        stop = self._after(start, end, seen, limit, len(rows))
        while start < stop:
            # Of a chunk as large as all before it, or where a row is not full, the threshold may be its own.
            own = stop - start >= seen or (needed[rows][~overflows[rows]] == -np.inf).any()
            size = room_for(min(len(rows), _USERS), stop - start)
            if size > len(room):
                room = np.empty(size, dtype=np.float32)
            # A row's own threshold is found along the row.
            by_item = len(rows) <= FEW and not own
            for block in blocks:
                scores = self._scores(block, start, stop, room, by_item=by_item)
                least = needed[block.rows]
                if own:
                    least = np.maximum(least, reached_by(scores.matrix, limit) - 2 * margins[block.rows])
                    needed[block.rows] = least
                row, item = scores.above(below(least))
                pending.add(block.rows[row], item + start)
            first, seen = seen == 0, seen + stop - start
            start, stop = stop, self._after(stop, end, seen, limit, len(rows))
            if start < stop:
                # After the first chunk few users go on: later pairs touch a few rows of the results.
                if first or len(pending) > 2 * limit * len(users):
                    best.merge(*self._rescored(pending, doubles, offsets))
                    worst = best.worst if offsets is None else best.worst - offsets
                    np.maximum(needed, worst - margins, out=needed)
                alive, stop = self._bounds.ahead(norms[rows], needed[rows], start, stop)
                if len(alive) < len(rows):
                    rows = rows[alive]
                    blocks = _blocks(rows, multiplied, excluded)
        best.merge(*self._rescored(pending, doubles, offsets))
        return TopK(*best.result())

    def _rescored(
        self, pending: Pairs, users: Doubles, offsets: Doubles | None
    ) -> tuple[NDArray[np.intp], NDArray[np.intp], Doubles]:
        row, item = pending.drain()
        return row, item, self._rescore(users, offsets, row, item)

    def _after(self, start: int, end: int, seen: int, limit: int, users: int = 1) -> int:
        """Where the chunk ends that begins at ``start``: they double what has been seen, up to the largest."""
        size = seen or max(self._first, 8 * limit)
        largest = self._chunk * min(max(FEW // max(users, 1), 1), _LARGER)
        return min(start + min(size, largest), end)

    def _scores(self, block: _Block, start: int, stop: int, room: Floats, *, by_item: bool) -> Scores:
        """Float32 scores without the users' offsets; -inf for what is excluded."""
        scores = multiply(block.users, self._items[start:stop], room, by_item=by_item)
        self._scale_and_add_bias(scores.matrix, start, stop)
        block.mask.apply(scores.padded, start, scores.items)
        return scores

    def _scores_of_one(self, user: Floats, start: int, stop: int, excluded: Indices) -> Floats:
        """The same for one user, (items of the chunk,)."""
        columns = stop - start
        padded = np.empty(columns + 1, dtype=np.float32)
        scores = padded[:columns]
        with np.errstate(invalid="ignore"):  # OpenBLAS was seen to tell of it where all numbers are finite
            self._items[start:stop].dot(user, out=scores)  # half of the steps of np.dot
        self._scale_and_add_bias(scores, start, stop)
        if len(excluded):
            # In the first chunk clipping does what ``column_of`` does.
            column = column_of(excluded, start, columns) if start else excluded
            padded.put(column, -np.inf, mode="clip")
        return scores

    def _scale_and_add_bias(self, scores: Floats, start: int, stop: int) -> None:
        if self._scale32 is not None:
            scores *= self._scale32[start:stop]
        if self._bias is not None:
            scores += self._bias[start:stop]

    def _rescore(
        self,
        users: NDArray[Any],
        offsets: Doubles | None,
        row: NDArray[np.intp] | None,
        item: NDArray[np.intp],
    ) -> Doubles:
        """The deciding scores of pairs (row, item); without ``row`` the one user meets every item."""
        if row is None and len(item) <= self._pairs:
            scores = dots_of_one(users[0], self._items.take(item, axis=0))
        else:
            scores = np.empty(len(item))
            for start in range(0, len(item), self._pairs):
                pairs = slice(start, start + self._pairs)
                left = users if row is None else users.take(row[pairs], axis=0)
                scores[pairs] = dots(left, self._items.take(item[pairs], axis=0))
        if self._scale is not None:
            scores *= self._scale[item]
        if self._bias is not None:
            scores += self._bias[item]
        if offsets is not None:
            scores += offsets if row is None else offsets[row]
        return scores


def _parts(users: int) -> list[slice]:
    """Users that are searched for together; one part where there are none."""
    return [slice(start, start + _MOST_USERS) for start in range(0, max(users, 1), _MOST_USERS)]


def _joined(found: list[TopK]) -> TopK:
    if len(found) == 1:
        return found[0]
    return TopK(
        np.concatenate([each.indices for each in found]),
        np.concatenate([each.scores for each in found]),
        np.concatenate([each.counts for each in found]),
    )


def _blocks(rows: NDArray[np.intp], users: Floats, excluded: Excluded) -> list[_Block]:
    """These rows of a batch, ``_USERS`` at a time."""
    parts = [rows[start : start + _USERS] for start in range(0, len(rows), _USERS)]
    return [_Block(part, users.take(part, axis=0), Mask(excluded.take(part))) for part in parts]
