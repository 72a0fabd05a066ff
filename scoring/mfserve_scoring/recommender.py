"""Answers questions about users and items from one snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mfserve_registry.errors import FailedPrecondition, InvalidArgument, NotFound
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
from mfserve_scoring.rankers import ByPopularity, ByRanking, ByRating, Ranker
from mfserve_scoring.similar import Neighbours
from mfserve_scoring.topk import TopK

MAX_LIMIT = 1000
"""Most items that one answer can hold."""


@dataclass(frozen=True, slots=True)
class _Question:
    """What is the same for every user asked about: checked, names resolved."""

    limit: int
    left_out: Indices
    include_seen: bool
    head: Head
    ranker: Ranker
    recall: float | None
    """Of the ranker's index; None where it is exact."""


class Recommender:
    """Recommends, predicts and compares with one open snapshot.

    Immutable but for parts that are made at their first use; any number of threads may ask at once. Every array in an
    answer is the caller's own.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._predictor = Predictor.of(snapshot)

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
        question = self._question(limit, exclude_item_ids, include_seen, head, exact)
        user = self._snapshot.users.index(user_id)
        if user < 0:
            return self._popular(question, Excluded(question.left_out))
        users = np.array([user], dtype=np.int32)
        seen = NOTHING if include_seen else self._snapshot.rated.of(user)
        excluded = Excluded(np.concatenate((seen, question.left_out)))
        if not question.ranker.knows(users)[0]:
            return self._popular(question, excluded)
        top = question.ranker.search(users, limit, excluded)
        predicted = None if self._predictor is None else self._predictor.of_known(users, top.indices)
        return Recommendations(
            top.indices, to_float32(top.scores), predicted, Basis.MODEL, question.head, question.recall
        )

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
        question = self._question(limit, exclude_item_ids, include_seen, head, exact)
        items, ratings = read_history(history, self._snapshot.items, self._snapshot.scale)
        seen = NOTHING if include_seen else items
        excluded = Excluded(np.concatenate((seen, question.left_out)))
        if len(items) == 0:
            return self._popular(question, excluded)
        folded = None if self._predictor is None else self._predictor.fold_in(items, ratings)
        top = question.ranker.search_folded(items, ratings, folded, limit, excluded)
        if top is None:
            return self._popular(question, excluded)
        predicted = None
        if self._predictor is not None and folded is not None:
            predicted = self._predictor.of_folded(folded, top.indices)
        return Recommendations(
            top.indices, to_float32(top.scores), predicted, Basis.FOLD_IN, question.head, question.recall
        )

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
            user_ids: any number of ids; all are scored at once, 256 at a time.
            limit, exclude_item_ids, include_seen, head, exact: as for ``recommend``.
            predict: whether to predict ratings too, where the snapshot has a rating head.

        Raises:
            InvalidArgument, FailedPrecondition: as for ``recommend``.
        """
        question = self._question(limit, exclude_item_ids, include_seen, head, exact)
        users = self._snapshot.users.indices(user_ids)
        modelled = users >= 0
        modelled[modelled] = question.ranker.knows(users[modelled])
        if modelled.all():
            return self._modelled_many(question, users, predict=predict)
        return interleave(
            self._modelled_many(question, users[modelled], predict=predict),
            self._popular_many(question, users[~modelled], predict=predict),
            modelled,
        )

    def recall(self, head: Head = Head.DEFAULT, *, exact: bool = False) -> float | None:
        """The recall of the index by which users are answered whom the model knows; None where they are exactly.

        Raises:
            FailedPrecondition: HEAD_MISSING, as for ``recommend``.
        """
        return self._ranker(head, exact)[2]

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
    def _by_index(self) -> tuple[ByRanking, float] | None:
        """Through the approximate index, and its recall; None where there is none, or nothing to search it with."""
        ranking, exact = self._snapshot.ranking, self._by_ranking
        if ranking is None or exact is None or ranking.index is None:
            return None
        search = open_index(ranking.index, ranking.item_factors, exact.top)
        return None if search is None else (exact.through(search), ranking.index.recall)

    def _ranker(self, head: Head, exact: bool) -> tuple[Head, Ranker, float | None]:
        if head is not Head.RATING and self._by_ranking is not None:
            if not exact and self._by_index is not None:
                return Head.RANKING, *self._by_index
            return Head.RANKING, self._by_ranking, None
        if head is Head.RANKING or self._by_rating is None:
            raise _missing(head)
        return Head.RATING, self._by_rating, None

    def _question(
        self, limit: int, exclude_item_ids: Sequence[str], include_seen: bool, head: Head, exact: bool
    ) -> _Question:
        _check_limit(limit)
        resolved, ranker, recall = self._ranker(head, exact)
        left_out = self._snapshot.items.indices(exclude_item_ids)
        return _Question(limit, left_out[left_out >= 0], include_seen, resolved, ranker, recall)

    def _popular(self, question: _Question, excluded: Excluded) -> Recommendations:
        top = self._by_popularity.search(1, question.limit, excluded)
        predicted = None if self._predictor is None else self._predictor.of_anybody(top.indices)
        return Recommendations(
            top.indices, to_float32(top.scores), predicted, Basis.POPULARITY, question.head
        )

    def _modelled_many(self, question: _Question, users: Indices, *, predict: bool) -> RecommendationBatch:
        top = question.ranker.search(users, question.limit, self._excluded(question, users))
        predicted = None
        if predict and self._predictor is not None:
            predicted = self._predictor.of_known(np.repeat(users, top.counts), top.indices)
        return _batch(top, predicted, Basis.MODEL, question.head)

    def _popular_many(self, question: _Question, users: Indices, *, predict: bool) -> RecommendationBatch:
        """For users who are unknown (-1) or of whom the head knows nothing."""
        top = self._by_popularity.search(len(users), question.limit, self._excluded(question, users))
        predicted = None
        if predict and self._predictor is not None:
            predicted = self._predictor.of_anybody(top.indices)
        return _batch(top, predicted, Basis.POPULARITY, question.head)

    def _excluded(self, question: _Question, users: Indices) -> Excluded:
        if question.include_seen:
            return Excluded(question.left_out)
        return Excluded.seen(self._snapshot.rated, users, question.left_out)


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
