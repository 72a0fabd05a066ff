"""What a specification leaves to the trainer, decided once the ratings are known."""

from __future__ import annotations

from mfserve_registry.errors import FailedPrecondition
from mfserve_registry.spec import AlsConfig, AutoRating, BayesConfig, NoRating, TrainingSpec
from mfserve_registry.without_ratings import lack_of_ratings
from mfserve_trainer.ratings import Ratings

BAYES_MOST_RATINGS = 5_000_000
BAYES_MOST_ROWS = 500_000
"""Up to so many ratings, and users and items together, ``auto`` takes the engine that predicts best; beyond, the one
that takes less time and memory. The samples of 500,000 rows are 1 GB."""


def resolve(spec: TrainingSpec, ratings: Ratings) -> TrainingSpec:
    """The specification with an engine in place of ``auto``: what is trained, and what the version tells of itself.

    Raises:
        FailedPrecondition: RATINGS_MISSING, the data are implicit, and something was asked for that needs ratings.
    """
    if ratings.implicit and (lack := lack_of_ratings(spec)):
        raise FailedPrecondition(
            f"{ratings.name} is implicit. {lack.sentence}",
            reason="RATINGS_MISSING",
            field=lack.field,
            metadata=lack.metadata,
        )
    if not isinstance(spec.rating, AutoRating):
        return spec
    return spec.model_copy(update={"rating": NoRating() if ratings.implicit else _by_size(ratings)})


def _by_size(ratings: Ratings) -> BayesConfig | AlsConfig:
    rows = len(ratings.user_ids) + len(ratings.item_ids)
    small = len(ratings) <= BAYES_MOST_RATINGS and rows <= BAYES_MOST_ROWS
    return BayesConfig() if small else AlsConfig()
