"""What a specification leaves to the trainer, decided once the ratings are known."""

from __future__ import annotations

from mfserve_registry.errors import FailedPrecondition
from mfserve_registry.spec import AlsConfig, AutoRating, BayesConfig, NoRanking, NoRating, TrainingSpec
from mfserve_trainer.ratings import Ratings

BAYES_MOST_RATINGS = 5_000_000
BAYES_MOST_ROWS = 500_000
"""Up to so many ratings, and users and items together, ``auto`` takes the engine that predicts best; beyond, the one
that takes less time and memory. The samples of 500,000 rows are 1 GB."""


def resolve(spec: TrainingSpec, ratings: Ratings) -> TrainingSpec:
    """The specification with an engine in place of ``auto``: what is trained, and what the version tells of itself.

    Raises:
        FailedPrecondition: RATINGS_MISSING, the data are implicit, and a rating engine was asked for or no ranking
            engine.
    """
    rating = spec.rating
    if isinstance(rating, AutoRating):
        rating = _by_size(ratings)
    if ratings.implicit and not isinstance(rating, NoRating):
        raise FailedPrecondition(
            f"{ratings.name} is implicit: it has no ratings for the engine {rating.engine!r} to learn from. Leave the "
            'rating engine to "auto" or "none", or train on data with ratings.',
            reason="RATINGS_MISSING",
            field="spec.rating",
            metadata={"engine": rating.engine},
        )
    if isinstance(rating, NoRating) and isinstance(spec.ranking, NoRanking):
        raise FailedPrecondition(
            f"{ratings.name} has no ratings, and without a ranking engine there is nothing to train: choose one.",
            reason="RATINGS_MISSING",
            field="spec.ranking",
        )
    if isinstance(rating, NoRating) and spec.tuning is not None and spec.tuning.head == "rating":
        raise FailedPrecondition(
            f"{ratings.name} has no ratings, so that there is no rating head to tune: tune the ranking head.",
            reason="RATINGS_MISSING",
            field="spec.tuning.head",
        )
    return spec.model_copy(update={"rating": rating})


def _by_size(ratings: Ratings) -> BayesConfig | AlsConfig | NoRating:
    if ratings.implicit:
        return NoRating()
    rows = len(ratings.user_ids) + len(ratings.item_ids)
    small = len(ratings) <= BAYES_MOST_RATINGS and rows <= BAYES_MOST_ROWS
    return BayesConfig() if small else AlsConfig()
