"""What items can be ranked by, each a top-k search and the users' side of it."""

from __future__ import annotations

from copy import copy
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import RankingHead, RatingHead
from mfserve_registry.spec import RatingScale
from mfserve_scoring.approximate import ApproximateTopK
from mfserve_scoring.exact import Doubles, Indices
from mfserve_scoring.excluded import Excluded
from mfserve_scoring.foldin import FoldedRating, RankingFoldIn
from mfserve_scoring.ratings import RatingModel
from mfserve_scoring.topk import ExactTopK, TopK
from mfserve_scoring.vector import Vector


class Ranker(Protocol):
    """Ranks the items for trained users and for folded-in ones."""

    @property
    def top(self) -> ExactTopK:
        """Finds the best items of the vectors that ``of_user`` and ``of_history`` give."""

    @property
    def index(self) -> ApproximateTopK | None:
        """Finds nearly the best ones of them; None where the ranker searches exactly."""

    def of_user(self, user: int) -> Vector | None:
        """A trained user; None where the head knows nothing of the user, as ``knows`` tells."""

    def of_history(self, items: Indices, ratings: Doubles, rating: FoldedRating | None) -> Vector | None:
        """A user with this history; None where it tells the head nothing.

        ``rating`` is the history's solution in the rating head; None where there is no such head.
        """

    def knows(self, users: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        """Whether the head can tell items apart for each of ``users``."""

    def search(self, users: NDArray[np.integer[Any]], limit: int, excluded: Excluded) -> TopK:
        """The best items of trained users."""


class ByRanking:
    """By the ranking head: p · q.

    A user whose factors are all zero (no rating fell to them) scores every item 0; such a user is not known.
    """

    def __init__(self, head: RankingHead, scale: RatingScale | None) -> None:
        self._users = head.user_factors
        self.top = ExactTopK(head.item_factors)
        self.index: ApproximateTopK | None = None
        self._fold_in = RankingFoldIn(head, scale)

    def through(self, index: ApproximateTopK) -> ByRanking:
        """The same by an index of the items."""
        other = copy(self)
        other.index = index
        return other

    def knows(self, users: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        known: NDArray[np.bool_] = self._users[users, 0] != 0
        if not known.all():  # a factor that is exactly zero is rare: of nearly all users the first one tells
            known = np.any(self._users[users], axis=1)
        return known

    def search(self, users: NDArray[np.integer[Any]], limit: int, excluded: Excluded) -> TopK:
        return (self.index or self.top).search(self._users[users], limit, excluded=excluded)

    def of_user(self, user: int) -> Vector | None:
        factors = self._users[user]
        # The first factor tells of nearly all users, and any() takes ten times as long.
        return Vector(factors, None) if factors.item(0) or factors.any() else None

    def of_history(self, items: Indices, ratings: Doubles, rating: FoldedRating | None) -> Vector | None:
        factors = self._fold_in.solve(items, ratings)
        return Vector(factors, None) if factors.any() else None


class ByRating:
    """By the unclipped predicted rating. Every user is known: the items' biases rank also where p is zero."""

    index: ApproximateTopK | None = None

    def __init__(self, head: RatingHead, model: RatingModel) -> None:
        self._users = head.user_factors
        self._model = model
        self.top = ExactTopK(head.item_factors, bias=head.item_biases)

    def knows(self, users: NDArray[np.integer[Any]]) -> NDArray[np.bool_]:
        return np.ones(len(users), dtype=np.bool_)

    def search(self, users: NDArray[np.integer[Any]], limit: int, excluded: Excluded) -> TopK:
        return self.top.search(
            self._users[users], limit, offsets=self._model.offsets(users), excluded=excluded
        )

    def of_user(self, user: int) -> Vector | None:
        return self._model.of_user(user)

    def of_history(self, items: Indices, ratings: Doubles, rating: FoldedRating | None) -> Vector | None:
        return None if rating is None else self._model.of_folded(rating)


class ByPopularity:
    """By the number of ratings, for users of whom nothing is known: one factor, which is the count."""

    def __init__(self, counts: NDArray[np.int32]) -> None:
        self.top = ExactTopK(counts.astype(np.float32)[:, np.newaxis])
        self.anybody = Vector(np.ones(1, dtype=np.float32), None)
        """Everyone of whom nothing is known."""

    def search(self, rows: int, limit: int, excluded: Excluded) -> TopK:
        """The most rated items for each of ``rows`` rows."""
        return self.top.search(np.ones((rows, 1), dtype=np.float32), limit, excluded=excluded)
