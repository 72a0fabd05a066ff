"""Rating engines work in standard units: what suits ratings of 1 to 5 suits ratings of 0 to 100.

A penalty on factors, or a prior of them, means something else for ratings that are 25 times as large. So the mean is
taken off and the rest divided by the ratings' standard deviation σ; the head that is trained is turned back at the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import Posterior, RatingHead
from mfserve_trainer.ratings import Ratings


@dataclass(frozen=True, slots=True)
class Units:
    """The mean of the training ratings and their standard deviation σ; 1 where all are equal."""

    mean: float
    deviation: float

    @classmethod
    def of(cls, ratings: Ratings) -> Units:
        deviation = float(np.std(ratings.rating, dtype=np.float64))
        return cls(float(np.mean(ratings.rating, dtype=np.float64)), deviation or 1.0)

    def standard(self, rating: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32 (n,), (r − mean) / σ."""
        return ((rating - self.mean) / self.deviation).astype(np.float32)

    def original(self, head: RatingHead) -> RatingHead:
        """The head that predicts ratings, of one that predicts standard units.

        σ goes to the user's side of every product. The items' factors stay as they are, and so the ridge solve that
        folds a user in has the same penalty in both units: it is homogeneous in (p, b).
        """
        scale = np.float32(self.deviation)
        return replace(
            head,
            intercept=self.mean + self.deviation * head.intercept,
            user_biases=scale * head.user_biases,
            item_biases=scale * head.item_biases,
            user_factors=scale * head.user_factors,
            posterior=None if head.posterior is None else self._original_posterior(head.posterior),
        )

    def _original_posterior(self, posterior: Posterior) -> Posterior:
        scale = np.float32(self.deviation)
        items = posterior.item_samples.copy()
        items[:, :, -1] *= scale
        return replace(
            posterior,
            user_samples=scale * posterior.user_samples,
            item_samples=items,
            user_noise=scale**2 * posterior.user_noise,
            prior_mean=scale * posterior.prior_mean,
            # In units of the noise's precision, which changes as the prior's does: it stays.
        )
