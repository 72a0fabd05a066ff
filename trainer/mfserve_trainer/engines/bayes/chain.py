"""The Markov chain: each sweep draws everything once, given the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mfserve_scoring.exact import Floats
from mfserve_trainer.engines.bayes.noise import Noise, draw_noise
from mfserve_trainer.engines.bayes.pieces import Pieces, pieces
from mfserve_trainer.engines.bayes.priors import Prior, draw_prior
from mfserve_trainer.engines.bayes.rows import Rows, draw_rows
from mfserve_trainer.engines.bayes.side_information import interaction_features
from mfserve_trainer.engines.units import Units
from mfserve_trainer.ratings import Ratings

INITIAL_DEVIATION = 0.1
"""Standard deviation of every factor and bias before the first sweep."""


@dataclass(slots=True)
class _Side:
    histories: Pieces
    features: Floats
    prior: Prior
    rows: Floats

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class Sample:
    """One state of the chain.

    Attributes:
        users, items: float32 (users, d) and (items, d), rows [p; b] and [q; c].
        item_means: float32 (items, d), the mean of what ``items`` was drawn from, given ``users``.
        user_noise: float32 (users,), variance of the noise of each user's ratings.
        mse: mean squared error of the training ratings, before the items were drawn.
        loss: mean of −log p(r | the rest) over them, likewise.
    """

    users: Floats
    items: Floats
    item_means: Floats
    user_noise: Floats
    mse: float
    loss: float


class Chain:
    """A Gibbs sampler of r_ui = b_u + c_i + p_u · q_i + ε_ui, r in standard units.

    Bayesian probabilistic matrix factorization (Salakhutdinov and Mnih 2008) with the biases inside the rows, each
    user's own noise, and prior means that depend on who rated what.

    Args:
        ratings: at least one row; every user and item occurs in the rows.
        units: of the ratings.
        factors: k.
        features: how many features of the interactions each side's prior mean has; 0 for none.
        seed: of every draw.
    """

    def __init__(self, ratings: Ratings, units: Units, factors: int, features: int, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        users, items, d = len(ratings.user_ids), len(ratings.item_ids), factors + 1
        standard = units.standard(ratings.rating)
        of_users = pieces(ratings.user_index, ratings.item_index, standard, users, items, width=d)
        of_items = pieces(ratings.item_index, ratings.user_index, standard, items, users, width=d)
        user_features, item_features = interaction_features(
            ratings.user_index, ratings.item_index, users, items, components=features, seed=seed
        )
        self._users = self._start(of_users, user_features, users, d)
        self._items = self._start(of_items, item_features, items, d)
        self._noise = Noise(1.0, np.ones(users, dtype=np.float32))
        self._ones = np.ones(items, dtype=np.float32)

    def sweep(self) -> Sample:
        """Draws the users given the items, the noise, and the items given the users."""
        users, items = self._users, self._items
        users_drawn = self._draw(users, items, self._noise.precision, self._ones)
        users.rows = users_drawn.draw
        counts = users.histories.counts
        self._noise = draw_noise(users_drawn.error, counts, self._noise, self._random)
        items_drawn = self._draw(items, users, self._ones, self._noise.precision)
        items.rows = items_drawn.draw
        return Sample(
            users=users_drawn.draw,
            items=items_drawn.draw,
            item_means=items_drawn.mean,
            user_noise=np.reciprocal(self._noise.precision),
            mse=float(users_drawn.error.sum(dtype=np.float64) / counts.sum()),
            loss=self._noise.loss(users_drawn.error, counts),
        )

    def _start(self, histories: Pieces, features: Floats, size: int, d: int) -> _Side:
        rows = self._random.normal(0.0, INITIAL_DEVIATION, (size, d)).astype(np.float32)
        return _Side(histories, features, Prior.initial(d, features.shape[1]), rows)

    def _draw(self, side: _Side, other: _Side, row_precision: Floats, other_precision: Floats) -> Rows:
        side.prior = draw_prior(side.rows, side.features, side.prior, self._random)
        return draw_rows(
            side.histories,
            other.rows,
            other_precision=other_precision,
            row_precision=row_precision,
            prior_mean=side.prior.row_means(side.features),
            prior_precision=side.prior.precision,
            noise=self._random.standard_normal(side.rows.shape, dtype=np.float32),
        )
