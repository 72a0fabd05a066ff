"""Predicted ratings of pairs: r(u, i) = intercept + b_u + c_i + p_u · q_i."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import RatingHead
from mfserve_registry.spec import RatingScale
from mfserve_scoring.exact import Doubles, Floats, dots
from mfserve_scoring.foldin import FoldedRating
from mfserve_scoring.vector import Vector


class RatingModel:
    """The rating head and the scale that it is clipped to."""

    def __init__(self, head: RatingHead, scale: RatingScale) -> None:
        self._head = head
        self._user_factors = head.user_factors
        # A memoryview's items are Python numbers straight away, of which single ones are cheaper than arrays of one.
        self._user_biases = head.user_biases.data
        self._lowest, self._highest = scale.minimum, scale.maximum

    def offsets(self, users: NDArray[np.integer[Any]]) -> Doubles:
        """μ + b_u of each user, float64."""
        offsets: Doubles = self._head.user_biases[users] + np.float64(self._head.intercept)
        return offsets

    def of_user(self, user: int) -> Vector:
        """A trained user."""
        return Vector(self._user_factors[user], self._user_biases[user] + self._head.intercept)

    def of_folded(self, user: FoldedRating) -> Vector:
        """A folded-in user."""
        return Vector(user.factors, self._head.intercept + user.bias)

    def unclipped(self, users: NDArray[np.integer[Any]], items: NDArray[np.integer[Any]]) -> Doubles:
        """Predictions of pairs, before clipping: float64 (n,). One user meets all items."""
        return self.of_factors(self._head.user_factors[users], self.offsets(users), items)

    def of_factors(
        self, factors: Floats, offsets: Doubles | float, items: NDArray[np.integer[Any]]
    ) -> Doubles:
        """The same for given user factors, float32 (n or 1, k), and offsets, float64 (n or 1,) or a number.

        Added up in the order of ``ExactTopK``'s rescoring, so that the two agree to the last bit.
        """
        scores = dots(factors, self._head.item_factors.take(items, axis=0))
        scores += self._head.item_biases.take(items)
        scores += offsets
        return scores

    def clip(self, ratings: NDArray[Any]) -> Floats:
        """Ratings clipped to the scale, as float32."""
        # In place of ndarray.clip, which costs more than the arithmetic where there are ten.
        clipped: NDArray[Any] = np.minimum(np.maximum(ratings, self._lowest), self._highest)
        return clipped.astype(np.float32)
