"""What a snapshot says, as plain arrays: the engines make it, the writer stores it, the reader gives it back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.spec import RatingScale

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Posterior:
    """What a Bayesian rating head knows of its own uncertainty: S samples of everything.

    Sample s predicts intercept + b_u + c_i + p_u · q_i with its own rows; the variance of these predictions and that of
    the noise make up the variance of a rating around the prediction.

    Attributes:
        user_samples: float32 (users, S, d), rows [p_u; b_u] of each sample; S at least 2.
        item_samples: float32 (items, S, d), rows [q_i; c_i].
        user_noise: float32 (users,), variance of the noise of each user's ratings.
        prior_mean: float32 (k + 1,), what [p; b] of a user is before anything is known of it, in the head's factors.
        prior_precision: float32 (k + 1, k + 1), how far it may be from there: the precision of that, in units of the
            precision of a rating's noise.
    """

    user_samples: Floats
    item_samples: Floats
    user_noise: Floats
    prior_mean: Floats
    prior_precision: Floats


@dataclass(frozen=True, slots=True)
class RatingHead:
    """Predicts a rating: r(u, i) = intercept + b_u + c_i + p_u · q_i, clipped to the scale.

    Attributes:
        intercept: the constant μ of the model; 0 for a network without biases.
        user_biases: float32 (users,), b; zeros where the engine has none.
        item_biases: float32 (items,), c.
        user_factors: float32 (users, k), C-contiguous, P.
        item_factors: float32 (items, k), C-contiguous, Q.
        regularization: λ of the ridge solve that folds in an unseen user; its penalty is λ·n for n ratings.
        folds_bias: whether fold-in solves for b_u together with p_u.
        posterior: samples and the prior for fold-in, where the engine has them; then λ is 0 and the bias is folded in.
    """

    intercept: float
    user_biases: Floats
    item_biases: Floats
    user_factors: Floats
    item_factors: Floats
    regularization: float
    folds_bias: bool
    posterior: Posterior | None = None


@dataclass(frozen=True, slots=True)
class ItemIndex:
    """An approximate index of a ranking head's items.

    Attributes:
        data: uint8 (any,), what FAISS has serialized: an inverted file (IndexIVF) by inner product, item i having the
            number i.
        probes: clusters that a search looks at.
        recall: share of the exact best ten that it finds, on the average over users; measured with the items left
            out that a user rated.
    """

    data: NDArray[np.uint8]
    probes: int
    recall: float


@dataclass(frozen=True, slots=True)
class RankingHead:
    """Ranks items by s(u, i) = p_u · q_i, trained by implicit ALS on graded targets.

    Attributes:
        user_factors: float32 (users, k), C-contiguous, P.
        item_factors: float32 (items, k), C-contiguous, Q.
        regularization: λ; a user's penalty is λ (n_u + α₀·items)^ν.
        unobserved_weight: α₀.
        frequency_exponent: ν.
        targets: the grading: targets at equally spaced points of the scale from its minimum to its maximum;
            in between, linear interpolation.
        index: of the items, where the training was asked for one.
    """

    user_factors: Floats
    item_factors: Floats
    regularization: float
    unobserved_weight: float
    frequency_exponent: float
    targets: tuple[float, ...]
    index: ItemIndex | None = None


@dataclass(frozen=True, slots=True)
class RatedItems:
    """Which items each user rated, as compressed sparse rows.

    Attributes:
        indptr: int64 (users + 1,); user u's items are ``indices[indptr[u]:indptr[u + 1]]``.
        indices: int32 (ratings,), ascending and distinct within a user.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]

    def of(self, user: int) -> NDArray[np.int32]:
        """Item indices that user number ``user`` rated, ascending."""
        return self.indices[self.indptr[user] : self.indptr[user + 1]]


@dataclass(frozen=True, slots=True)
class SnapshotContent:
    """Everything that goes into a snapshot.

    A snapshot has at least one head. The means stand in for the rating head where it knows user or item no better, so
    they are there exactly where that head is.

    Attributes:
        user_ids: distinct, in index order.
        item_ids: distinct, in index order.
        item_titles: one per item ("" where unknown), or None where the data has no titles.
        scale: the closed interval that predicted ratings are clipped to and given ones lie in; None where the training
            data have no ratings, which leaves the rating head out.
        mean_rating: mean of the training ratings: the answer where user and item are both unknown.
        user_means: float32 (users,), the damped mean rating of each user: the answer for an unknown item.
        item_means: float32 (items,), likewise for an unknown user.
        item_counts: int32 (items,), training ratings of each item; the popularity fallback ranks by it.
        rated: what each user rated.
        rating: the head that predicts ratings, or None: then none is predicted.
        ranking: the head that ranks, or None: then the rating head ranks.
        facts: JSON values kept in the manifest: "spec", "dataset", "split", "metrics", "tuning". No model name, version
            number, time or path: the same training gives the same digest.
    """

    user_ids: Sequence[str]
    item_ids: Sequence[str]
    item_titles: Sequence[str] | None
    scale: RatingScale | None
    mean_rating: float | None
    user_means: Floats | None
    item_means: Floats | None
    item_counts: NDArray[np.int32]
    rated: RatedItems
    rating: RatingHead | None
    ranking: RankingHead | None
    facts: Mapping[str, Any]
