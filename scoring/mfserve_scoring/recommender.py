"""Answers questions about users and items from one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from mfserve_registry.errors import FailedPrecondition, InvalidArgument, NotFound, RegistryError
from mfserve_registry.snapshot import Snapshot
from mfserve_scoring.answers import (
    Basis,
    Head,
    Prediction,
    RatingBasis,
    RatingPredictions,
    RecommendationBatch,
    Recommendations,
    SimilarItems,
    interleave,
)
from mfserve_scoring.approximate import open_index
from mfserve_scoring.exact import Floats, Indices, to_float32
from mfserve_scoring.excluded import NOTHING, Excluded
from mfserve_scoring.history import read_history
from mfserve_scoring.predictor import Predictor
from mfserve_scoring.queries import Query, Question, answer, answer_together
from mfserve_scoring.rankers import ByPopularity, ByRanking, ByRating, Ranker
from mfserve_scoring.searches import Searches
from mfserve_scoring.similar import Neighbours
from mfserve_scoring.topk import ExactTopK, TopK
from mfserve_scoring.vector import Vector

MAX_LIMIT = 1000
"""Most items that one answer can hold."""


@dataclass(frozen=True, slots=True)
class _Common:
    """What is the same for every user asked about: checked, names resolved."""

    limit: int
    left_out: Indices
    include_seen: bool
    head: Head
    ranker: Ranker


class Recommender:
    """Recommends, predicts and compares with one open snapshot.

    Immutable but for parts that are made at their first use; any number of threads may ask at once. Every array in an
    answer is the caller's own.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._predictor = Predictor.of(snapshot)
        # A memoryview's items are Python ints straight away, and slicing by them costs half.
        self._rated_from = snapshot.rated.indptr.data

    def recommend(
        self,
        user_id: str,
        limit: int,
        *,
        exclude_item_ids: Sequence[str] = (),
        include_seen: bool = False,
        head: Head = Head.DEFAULT,
        exact: bool = False,
    ) -> Recommendations:
        """The best items for a user of the training data; for anyone else the most popular ones.

        Args:
            user_id: any string.
            limit: number of items wanted, 1 to 1000. Fewer come back only where fewer remain.
            exclude_item_ids: items that must not appear; unknown ids are ignored.
            include_seen: whether items that the user rated may appear.
            head: what to rank by.
            exact: whether to search exactly also where the ranking head has an approximate index.

        Raises:
            InvalidArgument: the limit is out of range.
            FailedPrecondition: HEAD_MISSING, the snapshot has not the head that is asked for.
        """
        return self.answer(Question(user_id, limit, exclude_item_ids, include_seen, head, exact))

    def recommend_history(
        self,
        history: Sequence[tuple[str, float]],
        limit: int,
        *,
        exclude_item_ids: Sequence[str] = (),
        include_seen: bool = False,
        head: Head = Head.DEFAULT,
        exact: bool = False,
    ) -> Recommendations:
        """The best items for a user whom the model never saw, by fold-in.

        Args:
            history: pairs of item id and rating. Unknown items are ignored; of several ratings of one item the last
                one counts. Where no item is known, or the history tells the head nothing, the answer's basis is
                POPULARITY. The ratings mean nothing where the training data had none.
            limit, exclude_item_ids, include_seen, head, exact: as for ``recommend``; the history's items count as seen.

        Raises:
            InvalidArgument: the limit is out of range, or a rating (field "history") lies outside the scale.
            FailedPrecondition: HEAD_MISSING, as for ``recommend``.
        """
        return self.answer(Question(history, limit, exclude_item_ids, include_seen, head, exact))

    def answer(self, question: Question) -> Recommendations:
        """The answer to one question. Raises what ``recommend`` and ``recommend_history`` do."""
        return answer(self._query(question), self._predictor)

    def answer_each(self, questions: Sequence[Question]) -> list[Recommendations | RegistryError]:
        """The answers to several questions, with one search for all that ask the same head for about as many items.

        Each is what ``answer`` gives, bit for bit; where that would raise, the error stands in the answer's place.
        """
        answers: dict[int, Recommendations | RegistryError] = {}
        searches: dict[tuple[ExactTopK, int, int], list[tuple[int, Query]]] = {}
        for number, question in enumerate(questions):
            try:
                query = self._query(question)
            except RegistryError as error:
                answers[number] = error
            else:
                searches.setdefault(query.group, []).append((number, query))
        for asked in searches.values():
            numbers, queries = zip(*asked, strict=True)
            answers.update(zip(numbers, answer_together(queries, self._predictor), strict=True))
        return [answers[number] for number in range(len(questions))]

    def searches(self) -> Searches[Any]:
        """Searches of this snapshot, none of them under way, which questions may join at any time."""
        return Searches(self._query, self._predictor)

    def recommend_many(
        self,
        user_ids: Sequence[str],
        limit: int,
        *,
        exclude_item_ids: Sequence[str] = (),
        include_seen: bool = False,
        head: Head = Head.DEFAULT,
        exact: bool = False,
        predict: bool = True,
    ) -> RecommendationBatch:
        """``recommend`` for each of ``user_ids``, which may repeat; the answers are the same, bit for bit.

        Args:
            user_ids: any number of ids; hundreds are scored at a time.
            limit, exclude_item_ids, include_seen, head, exact: as for ``recommend``.
            predict: whether to predict ratings too, where the snapshot has a rating head.

        Raises:
            InvalidArgument, FailedPrecondition: as for ``recommend``.
        """
        common = self._common(limit, exclude_item_ids, include_seen, head, exact)
        users = self._snapshot.users.indices(user_ids)
        modelled = users >= 0
        modelled[modelled] = common.ranker.knows(users[modelled])
        if modelled.all():
            return self._modelled_many(common, users, predict=predict)
        return interleave(
            self._modelled_many(common, users[modelled], predict=predict),
            self._popular_many(common, users[~modelled], predict=predict),
            modelled,
        )

    def recall(self, head: Head = Head.DEFAULT, *, exact: bool = False) -> float | None:
        """The recall of the index that is asked for users whom the model knows; None where none is.

        Raises:
            FailedPrecondition: HEAD_MISSING, as for ``recommend``.
        """
        _, ranker = self._ranker(head, exact)
        return None if ranker.index is None else ranker.index.recall

    def predict(self, user_id: str, item_id: str) -> Prediction:
        """The rating that the user would give the item, clipped; an unknown id is no error (see RatingBasis).

        Raises:
            FailedPrecondition: HEAD_MISSING, the snapshot has no rating head.
        """
        found = self.predict_many([(user_id, item_id)])
        deviation = 0.0 if found.deviations is None else float(found.deviations[0])
        return Prediction(float(found.ratings[0]), RatingBasis(int(found.bases[0])), deviation or None)

    def predict_many(self, pairs: Sequence[tuple[str, str]]) -> RatingPredictions:
        """``predict`` for each (user id, item id); the answers are the same, bit for bit."""
        if self._predictor is None:
            raise _missing(Head.RATING)
        users = self._snapshot.users.indices([user for user, _ in pairs])
        items = self._snapshot.items.indices([item for _, item in pairs])
        return self._predictor.of_pairs(users, items)

    def similar_items(self, item_id: str, limit: int) -> SimilarItems:
        """The items nearest to ``item_id`` by the cosine of their factors, itself left out.

        The factors are the ranking head's, or the rating head's where there is no other.

        Raises:
            InvalidArgument: the limit is out of range.
            NotFound: ITEM_NOT_FOUND, the snapshot does not know the item.
        """
        _check_limit(limit)
        item = self._snapshot.items.index(item_id)
        if item < 0:
            raise NotFound(
                "The version does not know this item.",
                reason="ITEM_NOT_FOUND",
                field="item_id",
                metadata={"item_id": item_id},
            )
        return self._neighbours.of(item, limit)

    @cached_property
    def _neighbours(self) -> Neighbours:
        return Neighbours(self._snapshot.default_head.item_factors)

    @cached_property
    def _by_ranking(self) -> ByRanking | None:
        ranking = self._snapshot.ranking
        return None if ranking is None else ByRanking(ranking, self._snapshot.scale)

    @cached_property
    def _by_rating(self) -> ByRating | None:
        rating, predictor = self._snapshot.rating, self._predictor
        return None if rating is None or predictor is None else ByRating(rating, predictor.model)

    @cached_property
    def _by_popularity(self) -> ByPopularity:
        return ByPopularity(self._snapshot.item_counts)

    @cached_property
    def _by_index(self) -> ByRanking | None:
        """Through the approximate index; None where there is none, or nothing to search it with."""
        ranking, exact = self._snapshot.ranking, self._by_ranking
        if ranking is None or exact is None or ranking.index is None:
            return None
        index = open_index(ranking.index, ranking.item_factors, exact.top)
        return None if index is None else exact.through(index)

    def _ranker(self, head: Head, exact: bool) -> tuple[Head, Ranker]:
        if head is not Head.RATING and self._by_ranking is not None:
            if not exact and self._by_index is not None:
                return Head.RANKING, self._by_index
            return Head.RANKING, self._by_ranking
        if head is Head.RANKING or self._by_rating is None:
            raise _missing(head)
        return Head.RATING, self._by_rating

    def _common(
        self, limit: int, exclude_item_ids: Sequence[str], include_seen: bool, head: Head, exact: bool
    ) -> _Common:
        _check_limit(limit)
        resolved, ranker = self._ranker(head, exact)
        left_out = self._snapshot.items.indices(exclude_item_ids)
        return _Common(limit, left_out[left_out >= 0], include_seen, resolved, ranker)

    def _query(self, question: Question) -> Query:
        """Resolves the names; the popular items where the model knows nothing of the user."""
        user, limit, exclude_item_ids, include_seen, wanted_head, exact = question
        _check_limit(limit)
        head, ranker = self._ranker(wanted_head, exact)
        if isinstance(user, str):
            seen, vector, rating = self._known(ranker, user)
            basis = Basis.MODEL
        else:
            seen, vector, rating = self._folded_in(ranker, user)
            basis = Basis.FOLD_IN
        excluded = NOTHING if include_seen else seen
        if exclude_item_ids:
            left_out = self._snapshot.items.indices(exclude_item_ids)
            excluded = np.concatenate((excluded, left_out[left_out >= 0]))
        if vector is None:
            popular = self._by_popularity
            return Query(limit, excluded, popular.top, popular.anybody, None, Basis.POPULARITY, head)
        return Query(limit, excluded, ranker.top, vector, rating, basis, head, ranker.index)

    def _known(self, ranker: Ranker, user_id: str) -> tuple[Indices, Vector | None, Vector | None]:
        """What a user of the training data has rated, and the user in the ranker and in the rating head."""
        user = self._snapshot.users.index(user_id)
        if user < 0:
            return NOTHING, None, None
        rating = None if self._predictor is None else self._predictor.model.of_user(user)
        rated = self._snapshot.rated.indices[self._rated_from[user] : self._rated_from[user + 1]]
        return rated, ranker.of_user(user), rating

    def _folded_in(
        self, ranker: Ranker, history: Sequence[tuple[str, float]]
    ) -> tuple[Indices, Vector | None, Vector | None]:
        """The same of a user with this history."""
        items, ratings = read_history(history, self._snapshot.items, self._snapshot.scale)
        if len(items) == 0:
            return items, None, None
        if self._predictor is None:
            return items, ranker.of_history(items, ratings, None), None
        folded = self._predictor.fold_in(items, ratings)
        return (
            items,
            ranker.of_history(items, ratings, folded),
            self._predictor.model.of_folded(folded),
        )

    def _modelled_many(self, common: _Common, users: Indices, *, predict: bool) -> RecommendationBatch:
        top = common.ranker.search(users, common.limit, self._excluded(common, users))
        predicted = None
        if predict and self._predictor is not None:
            predicted = self._predictor.of_known(np.repeat(users, top.counts), top.indices)
        return _batch(top, predicted, Basis.MODEL, common.head)

    def _popular_many(self, common: _Common, users: Indices, *, predict: bool) -> RecommendationBatch:
        """For users who are unknown (-1) or of whom the head knows nothing."""
        top = self._by_popularity.search(len(users), common.limit, self._excluded(common, users))
        predicted = None
        if predict and self._predictor is not None:
            predicted = self._predictor.of_anybody(top.indices)
        return _batch(top, predicted, Basis.POPULARITY, common.head)

    def _excluded(self, common: _Common, users: Indices) -> Excluded:
        if common.include_seen:
            return Excluded(common.left_out)
        return Excluded.seen(self._snapshot.rated, users, common.left_out)


def _batch(top: TopK, predicted: Floats | None, basis: Basis, head: Head) -> RecommendationBatch:
    bases = np.full(len(top.counts), basis, dtype=np.uint8)
    return RecommendationBatch(top.indices, to_float32(top.scores), predicted, top.counts, bases, head)


def _missing(head: Head) -> FailedPrecondition:
    return FailedPrecondition(
        f"The version was trained without a {head.name.lower()} head.",
        reason="HEAD_MISSING",
        field="head",
        metadata={"head": head.name},
    )


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidArgument(f"limit must be 1 to {MAX_LIMIT}, not {limit}.", field="limit")
