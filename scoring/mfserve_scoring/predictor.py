"""Predicts ratings: by the rating head, or by mean ratings where it says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot import Snapshot
from mfserve_registry.snapshot.content import RatingHead
from mfserve_registry.spec import RatingScale
from mfserve_scoring.answers import RatingBasis, RatingPredictions
from mfserve_scoring.deviations import deviations
from mfserve_scoring.exact import Doubles, Floats, Indices
from mfserve_scoring.foldin import FoldedRating, RatingFoldIn
from mfserve_scoring.ratings import RatingModel
from mfserve_scoring.vector import Vector

Numbers = NDArray[np.integer[Any]]


class Predictor:
    """The rating head of a snapshot, and the means that stand in for it. Every rating is clipped to the scale."""

    def __init__(
        self, head: RatingHead, scale: RatingScale, mean: float, user_means: Floats, item_means: Floats
    ) -> None:
        self.model = RatingModel(head, scale)
        self._fold_in = RatingFoldIn(head)
        self._posterior = head.posterior
        # Nothing that lies in an interval deviates by more than half of its length (Popoviciu's inequality).
        self._most_deviation = (scale.maximum - scale.minimum) / 2
        self._mean = mean
        self._user_means = user_means
        self._item_means = item_means

    @classmethod
    def of(cls, snapshot: Snapshot) -> Predictor | None:
        """None where the snapshot has no rating head: then it has none of the rest either."""
        head, scale, mean = snapshot.rating, snapshot.scale, snapshot.mean_rating
        user_means, item_means = snapshot.user_means, snapshot.item_means
        if head is None or scale is None or mean is None or user_means is None or item_means is None:
            return None
        return cls(head, scale, mean, user_means, item_means)

    def of_pairs(self, users: Numbers, items: Numbers) -> RatingPredictions:
        """For pairs of numbers, (n,) each, in which -1 is an unknown user or item."""
        knows_user, knows_item = users >= 0, items >= 0
        ratings = np.full(len(users), self._mean)
        bases = np.full(len(users), RatingBasis.GLOBAL_MEAN, dtype=np.uint8)
        for mask, basis in (
            (knows_user & knows_item, RatingBasis.MODEL),
            (knows_user & ~knows_item, RatingBasis.USER_MEAN),
            (~knows_user & knows_item, RatingBasis.ITEM_MEAN),
        ):
            if mask.any():
                ratings[mask] = self._unclipped(basis, users[mask], items[mask])
                bases[mask] = basis
        return RatingPredictions(self.model.clip(ratings), bases, self._deviations(users, items))

    def of_known(self, users: Numbers, items: Numbers) -> Floats:
        """For pairs that are both known, float32 (n,). One user meets all items."""
        return self.model.clip(self.model.unclipped(users, items))

    def of_anybody(self, items: Numbers) -> Floats:
        """For a user of whom nothing is known, float32 (n,)."""
        return self.model.clip(self._item_means[items])

    def fold_in(self, items: Indices, ratings: Doubles) -> FoldedRating:
        """The factors of a user with this history (see ``RatingFoldIn.solve``)."""
        return self._fold_in.solve(items, ratings)

    def of_one(self, user: Vector | None, items: Numbers) -> Floats:
        """For one user, trained or folded in; None is one of whom nothing is known. float32 (n,)."""
        if user is None:
            return self.of_anybody(items)
        return self.model.clip(self.model.of_factors(user.factors[np.newaxis], user.offset or 0.0, items))

    def of_each(self, users: Sequence[Vector], counts: Indices, items: Numbers) -> Floats:
        """``of_one`` for several users, end to end: user n meets ``counts[n]`` of the items. float32 (items,)."""
        factors = np.array([user.factors for user in users]).repeat(counts, axis=0)
        offsets = np.array([user.offset or 0.0 for user in users]).repeat(counts)
        return self.model.clip(self.model.of_factors(factors, offsets, items))

    def _deviations(self, users: Numbers, items: Numbers) -> Floats | None:
        """0 where user or item is unknown; None where the engine does not tell."""
        if self._posterior is None:
            return None
        known = (users >= 0) & (items >= 0)
        found = np.zeros(len(users), dtype=np.float32)
        told = deviations(self._posterior, users[known], items[known])
        found[known] = np.minimum(told, self._most_deviation)
        return found

    def _unclipped(self, basis: RatingBasis, users: Numbers, items: Numbers) -> NDArray[Any]:
        if basis is RatingBasis.MODEL:
            return self.model.unclipped(users, items)
        if basis is RatingBasis.USER_MEAN:
            return self._user_means[users]
        return self._item_means[items]
