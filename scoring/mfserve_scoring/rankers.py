"""What items can be ranked by, each a top-k search and the users' side of it."""

from __future__ import annotations

from copy import copy
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import RankingHead, RatingHead
from mfserve_registry.spec import RatingScale
from mfserve_scoring.approximate import Search
from mfserve_scoring.exact import Doubles, Indices
from mfserve_scoring.excluded import Excluded
from mfserve_scoring.foldin import FoldedRating, RankingFoldIn
from mfserve_scoring.ratings import RatingModel
from mfserve_scoring.topk import ExactTopK, TopK


class Ranker(Protocol):
    """Ranks the items for trained users and for folded-in ones."""

    def knows(self, users: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Whether the head can tell items apart for each of ``users``."""

    def search(self, users: NDArray[np.integer[Any]], limit: int, excluded: Excluded) -> TopK:
        """The best items of trained users."""

    def search_folded(
        self, items: Indices, ratings: Doubles, rating: FoldedRating | None, limit: int, excluded: Excluded
    ) -> TopK | None:
        """The best items of a user with this history; None where it tells the head nothing.

        ``rating`` is the history's solution in the rating head; None where there is no such head.
        """


class ByRanking:
    """By the ranking head: p · q.

    A user whose factors are all zero (no rating fell to them) scores every item 0; such a user is not known.
    """

    def __init__(self, head: RankingHead, scale: RatingScale | None) -> None:
        self._users = head.user_factors
        self.top: Search = ExactTopK(head.item_factors)
        self._fold_in = RankingFoldIn(head, scale)

    def through(self, top: Search) -> ByRanking:
        """The same by another search of the items."""
        other = copy(self)
        other.top = top
        return other

    def knows(self, users: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = np.any(self._users[users], axis=1)
        return known

    def search(self, users: NDArray[np.integer[Any]], limit: int, excluded: Excluded) -> TopK:
        return self.top.search(self._users[users], limit, excluded=excluded)

    def search_folded(
        self, items: Indices, ratings: Doubles, rating: FoldedRating | None, limit: int, excluded: Excluded
    ) -> TopK | None:
        factors = self._fold_in.solve(items, ratings)
        if not factors.any():
            return None
        return self.top.search(factors[np.newaxis], limit, excluded=excluded)


class ByRating:
    """By the unclipped predicted rating. Every user is known: the items' biases rank also where p is zero."""

    def __init__(self, head: RatingHead, model: RatingModel) -> None:
        self._users = head.user_factors
        self._model = model
        self._top = ExactTopK(head.item_factors, bias=head.item_biases)

    def knows(self, users: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        return np.ones(len(users), dtype=np.bool_)

    def search(self, users: NDArray[np.integer[Any]], limit: int, excluded: Excluded) -> TopK:
        return self._top.search(
            self._users[users], limit, offsets=self._model.offsets(users), excluded=excluded
        )

    def search_folded(
        self, items: Indices, ratings: Doubles, rating: FoldedRating | None, limit: int, excluded: Excluded
    ) -> TopK | None:
        if rating is None:
            return None
        offsets = self._model.folded_offset(rating)
        return self._top.search(rating.factors[np.newaxis], limit, offsets=offsets, excluded=excluded)


class ByPopularity:
    """By the number of ratings, for users of whom nothing is known: one factor, which is the count."""

    def __init__(self, counts: NDArray[np.int32]) -> None:
        self._top = ExactTopK(counts.astype(np.float32)[:, np.newaxis])

    def search(self, rows: int, limit: int, excluded: Excluded) -> TopK:
        """The most rated items for each of ``rows`` rows."""
        return self._top.search(np.ones((rows, 1), dtype=np.float32), limit, excluded=excluded)
