"""Searches for single users, alone or several in one.

Whoever is asked about becomes a query: which search finds the items, and the user as that search takes one. Queries of
the same search are answered by one search, whatever else they want: the best ``limit`` items are the first ones of the
best of a larger limit, and every row has items of its own left out. A user's bits are the same either way, because
``ExactTopK`` promises them. An approximate index does not, as the limit decides what it is asked for: it is asked query
by query, and whoever it finds too little for is searched exactly with the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mfserve_registry.snapshot.content import RatedItems
from mfserve_scoring.answers import Basis, Head, Recommendations
from mfserve_scoring.approximate import ApproximateTopK
from mfserve_scoring.exact import Doubles, Floats, Indices, to_float32
from mfserve_scoring.excluded import NOTHING, Excluded
from mfserve_scoring.predictor import Predictor
from mfserve_scoring.topk import ExactTopK, TopK
from mfserve_scoring.vector import Vector


class Question(NamedTuple):
    """What is asked for one user; see ``Recommender.recommend`` and ``Recommender.recommend_history``.

    Attributes:
        user: a user's id; or a history, pairs of item id and rating.
        limit, exclude_item_ids, include_seen, head, exact: as there.
    """

    user: str | Sequence[tuple[str, float]]
    limit: int
    exclude_item_ids: Sequence[str] = ()
    include_seen: bool = False
    head: Head = Head.DEFAULT
    exact: bool = False


class Query(NamedTuple):
    """What is searched for one user.

    Attributes:
        limit: number of items wanted.
        excluded: int32 (m,), items left out, in any order, repeats allowed.
        search: finds the items exactly.
        user: the user in that search.
        rating: the same user in the rating head; None for somebody of whom nothing is known.
        basis, head: what the answer says of itself.
        by_index: asked before the search, where it may be approximate.
    """

    limit: int
    excluded: Indices
    search: ExactTopK
    user: Vector
    rating: Vector | None
    basis: Basis
    head: Head
    by_index: ApproximateTopK | None = None

    @property
    def parts(self) -> int:
        """Parts in which it is searched for."""
        return 1 if self.by_index is not None else self.search.parts

    @property
    def group(self) -> tuple[ExactTopK, int, int]:
        """The same for those that one search answers.

        Each has as much found as who wants the most: up to twice as much is fair.
        """
        return self.search, self.parts, self.limit.bit_length()

    def found(
        self, items: Indices, scores: Doubles, predictor: Predictor | None, recall: float | None = None
    ) -> Recommendations:
        """The answer, made of what the search found, or an index of this recall."""
        predicted = None if predictor is None else predictor.of_one(self.rating, items)
        return Recommendations(items, to_float32(scores), predicted, self.basis, self.head, recall)


def answer(query: Query, predictor: Predictor | None) -> Recommendations:
    """One query's answer; predicted ratings where there is a predictor."""
    if (found := by_index(query, predictor)) is not None:
        return found
    factors, offset = query.user
    top = query.search.search_one(factors, query.limit, offset=offset, excluded=query.excluded)
    return query.found(*top, predictor)


def answer_together(queries: Sequence[Query], predictor: Predictor | None) -> list[Recommendations]:
    """The answers to queries of one search (at least one), bit for bit those of ``answer``."""
    if len(queries) == 1:
        return [answer(queries[0], predictor)]
    proposed = [by_index(query, predictor) for query in queries]
    left = [query for query, found in zip(queries, proposed, strict=True) if found is None]
    exactly = iter(_exactly(left, predictor) if left else ())
    return [next(exactly) if found is None else found for found in proposed]


def found_in_part(queries: Sequence[Query], part: int, reached: Doubles) -> list[tuple[Indices, Doubles]]:
    """Items of one part of a search that are among a query's best and reach a score, and what they score.

    Args:
        queries: of one search, at least one.
        part: see ``ExactTopK.search_part``.
        reached: float64 (queries,), the scores.

    Returns:
        Int32 and float64 (found,) for each query; there may be more than its limit.
    """
    top = queries[0].search.search_part(
        part,
        np.array([query.user.factors for query in queries]),
        max(query.limit for query in queries),
        reached,
        offsets=_offsets(queries),
        excluded=_excluded([query.excluded for query in queries]),
    )
    ends = np.cumsum(top.counts)[:-1]
    return list(zip(np.split(top.indices, ends), np.split(top.scores, ends), strict=True))


def by_index(query: Query, predictor: Predictor | None) -> Recommendations | None:
    """The answer of the query's index; None where there is none, or it does not find enough."""
    if query.by_index is None:
        return None
    found = query.by_index.find(query.user.factors, query.limit, query.excluded)
    return None if found is None else query.found(*found, predictor, query.by_index.recall)


def _exactly(queries: Sequence[Query], predictor: Predictor | None) -> list[Recommendations]:
    top = queries[0].search.search(
        np.array([query.user.factors for query in queries]),
        max(query.limit for query in queries),
        offsets=_offsets(queries),
        excluded=_excluded([query.excluded for query in queries]),
    )
    predicted = None if predictor is None else _predicted(queries, top, predictor)
    scores, answers = to_float32(top.scores), []
    for query, end, count in zip(queries, np.cumsum(top.counts).tolist(), top.counts.tolist(), strict=True):
        own = slice(end - count, end - count + min(count, query.limit))
        ratings = None if predicted is None else predicted[own]
        answers.append(Recommendations(top.indices[own], scores[own], ratings, query.basis, query.head))
    return answers


def _predicted(queries: Sequence[Query], top: TopK, predictor: Predictor) -> Floats:
    """Of all that was found. The popular items are searched for nobody who is known, and the others for nobody else."""
    known = [query.rating for query in queries if query.rating is not None]
    return predictor.of_each(known, top.counts, top.indices) if known else predictor.of_anybody(top.indices)


def _offsets(queries: Sequence[Query]) -> Doubles | None:
    offsets = [query.user.offset for query in queries if query.user.offset is not None]
    return np.array(offsets) if offsets else None  # a search has them for all users or for none


def _excluded(items: Sequence[Indices]) -> Excluded:
    """Row r leaves out ``items[r]``: as if a user r had rated these."""
    indptr = np.cumsum([0, *map(len, items)], dtype=np.int64)
    rows = RatedItems(indptr, np.concatenate(items))
    return Excluded.seen(rows, np.arange(len(items)), NOTHING)
