"""Enumerations that name what the protocol's enumerations number.

A member's value is the name of the protocol's value without its prefix. UNKNOWN stands for a value that a newer
server sends and this release does not know.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "AliasAction",
    "EmbeddingSide",
    "Gate",
    "GateOutcome",
    "Head",
    "JobState",
    "Ranker",
    "RatingBasis",
    "RatingPredictor",
    "RecommendationBasis",
    "ServingState",
    "TrainingStage",
]


class _Named(StrEnum):
    @classmethod
    def _missing_(cls, value: object) -> _Named | None:
        # "rating" is as good as "RATING".
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


class Head(_Named):
    """One of a snapshot's two factorizations."""

    RANKING = "RANKING"
    """Implicit feedback factors: which items a user will want."""
    RATING = "RATING"
    """Explicit feedback factors: which rating a user will give."""
    UNKNOWN = "UNKNOWN"


class RecommendationBasis(_Named):
    """What recommendations rest on, so that a fallback is never silent."""

    MODEL = "MODEL"
    """The user's own trained factors."""
    FOLD_IN = "FOLD_IN"
    """Factors solved for the ``history`` of the request."""
    POPULARITY = "POPULARITY"
    """The number of ratings of each item: the version knows neither the user nor any item of the history, or the head
    has learnt nothing about them (their factors are zero)."""
    UNKNOWN = "UNKNOWN"


class RatingBasis(_Named):
    """What a predicted rating rests on."""

    MODEL = "MODEL"
    """The user's and the item's trained factors."""
    USER_MEAN = "USER_MEAN"
    """The user's mean rating: the version does not know the item."""
    ITEM_MEAN = "ITEM_MEAN"
    """The item's mean rating: the version does not know the user."""
    GLOBAL_MEAN = "GLOBAL_MEAN"
    """The mean of all ratings: the version knows neither."""
    UNKNOWN = "UNKNOWN"


class EmbeddingSide(_Named):
    """Users or items."""

    USER = "USER"
    ITEM = "ITEM"
    UNKNOWN = "UNKNOWN"


class JobState(_Named):
    """State of a training job."""

    PENDING = "PENDING"
    """Waits for a trainer, for the first time or again."""
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    """Final: a version was published."""
    FAILED = "FAILED"
    """Final: see the job's ``error``."""
    CANCELLED = "CANCELLED"
    """Final."""
    UNKNOWN = "UNKNOWN"

    @property
    def final(self) -> bool:
        """Whether the job has ended."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


class TrainingStage(_Named):
    """A part of a training job."""

    LOADING = "LOADING"
    RATING_FIT = "RATING_FIT"
    RANKING_FIT = "RANKING_FIT"
    EVALUATION = "EVALUATION"
    RATING_REFIT = "RATING_REFIT"
    RANKING_REFIT = "RANKING_REFIT"
    PUBLISHING = "PUBLISHING"
    TUNING_RATING = "TUNING_RATING"
    """Its epochs are trials."""
    TUNING_RANKING = "TUNING_RANKING"
    REPORT = "REPORT"
    INDEXING = "INDEXING"
    UNKNOWN = "UNKNOWN"


class RatingPredictor(_Named):
    """Something whose rating errors are measured."""

    RATING_HEAD = "RATING_HEAD"
    """The rating head as served: clipped to the scale."""
    RATING_HEAD_UNCLIPPED = "RATING_HEAD_UNCLIPPED"
    GLOBAL_MEAN = "GLOBAL_MEAN"
    """Baseline: the mean of all training ratings."""
    UNKNOWN = "UNKNOWN"


class Ranker(_Named):
    """Something whose ranking is measured."""

    RANKING_HEAD = "RANKING_HEAD"
    RATING_HEAD = "RATING_HEAD"
    """The rating head, ranking by predicted rating."""
    POPULARITY = "POPULARITY"
    """Baseline: the most rated items."""
    UNKNOWN = "UNKNOWN"


class ServingState(_Named):
    """State of a version in a server process."""

    LOADING = "LOADING"
    AVAILABLE = "AVAILABLE"
    FAILED = "FAILED"
    """It could not be loaded; what was served before goes on."""
    UNKNOWN = "UNKNOWN"


class AliasAction(_Named):
    """How an alias came to change."""

    FIRST_VERSION = "FIRST_VERSION"
    """The model's first version took it."""
    PROMOTED = "PROMOTED"
    """A training asked for it, or ``promote`` did."""
    SET = "SET"
    ROLLED_BACK = "ROLLED_BACK"
    DELETED = "DELETED"
    FORCED = "FORCED"
    """By ``promote`` with ``force``, although gates had failed."""
    UNKNOWN = "UNKNOWN"


class Gate(_Named):
    """Something that is compared before an alias moves to a new version."""

    USERS = "USERS"
    """The number of users."""
    ITEMS = "ITEMS"
    """The number of items."""
    RATING_NORMS = "RATING_NORMS"
    """The rating head's norm: the mean norm of its users' embeddings times that of its items'."""
    RANKING_NORMS = "RANKING_NORMS"
    """The ranking head's norm, likewise."""
    RATING_ERROR = "RATING_ERROR"
    """RMSE of the holdout fits on the ratings that both held out."""
    RANKING_QUALITY = "RANKING_QUALITY"
    """nDCG@10 of the holdout fits by the ratings that both held out."""
    OVERLAP = "OVERLAP"
    """Share of the ten items that the incumbent recommends to a user that the new version recommends too."""
    UNKNOWN = "UNKNOWN"


class GateOutcome(_Named):
    """How a comparison ended."""

    PASSED = "PASSED"
    FAILED = "FAILED"
    """Beyond its bound: the alias was not moved."""
    SKIPPED = "SKIPPED"
    """There was nothing to compare with; the alias was moved all the same."""
    UNKNOWN = "UNKNOWN"
