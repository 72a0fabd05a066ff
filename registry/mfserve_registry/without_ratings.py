"""What a specification wants that implicit data, which have no ratings, cannot give."""

from __future__ import annotations

from typing import NamedTuple

from mfserve_registry.spec import AutoRating, NoRanking, NoRating, TrainingSpec


class Lack(NamedTuple):
    """Something that cannot be trained without ratings."""

    field: str
    """Its path in a request."""
    sentence: str
    """Why, and what to do."""
    engine: str | None = None
    """The rating engine, if it is that."""

    @property
    def metadata(self) -> dict[str, str]:
        """The same for programs."""
        return {} if self.engine is None else {"engine": self.engine}


def lack_of_ratings(spec: TrainingSpec) -> Lack | None:
    """The first thing in the specification that needs ratings; None where it can do without any."""
    if not isinstance(spec.rating, AutoRating | NoRating):
        engine = spec.rating.engine
        return Lack(
            f"spec.{engine}",
            f"It has no ratings for the engine {engine!r} to learn from. Leave the rating engine to "
            '"auto" or "none", or train on data with ratings.',
            engine,
        )
    if isinstance(spec.ranking, NoRanking):
        return Lack(
            "spec.no_ranking", "It has no ratings, and without a ranking engine there is nothing to train."
        )
    if spec.tuning is not None and spec.tuning.head == "rating":
        return Lack(
            "spec.tuning.head",
            "It has no ratings, so there is no rating head to tune: tune the ranking head.",
        )
    return None
