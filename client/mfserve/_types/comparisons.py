"""How two versions differ."""

from __future__ import annotations

from dataclasses import dataclass

from mfserve._types.models import ModelVersion

__all__ = ["AnswerComparison", "Distribution", "ShadowComparison", "VersionComparison"]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Numbers that were measured, one for each question."""

    count: int
    """1 or more."""
    mean: float
    stddev: float
    """Standard deviation: the root of the mean squared distance from the mean."""


@dataclass(frozen=True, slots=True)
class AnswerComparison:
    """How two versions answered the same questions about users whom both know. ``None`` is what was not measured."""

    overlap: Distribution | None
    """Items that both lists have, as a share of the longer list, 0 to 1."""
    rank_correlation: Distribution | None
    """Kendall's tau-b of the scores of the items that both lists have, -1 to 1."""
    score_shift: Distribution | None
    """The other version's score less the version's, on the average over the items that both lists have."""
    seconds: Distribution | None
    """Seconds in which the version found its items."""
    other_seconds: Distribution | None
    """Seconds in which the other version did, in the same thread."""
    added_seconds: Distribution | None
    """Seconds that the other version took more."""


@dataclass(frozen=True, slots=True)
class ShadowComparison:
    """What came of the calls that were meant for a shadow."""

    answers: AnswerComparison
    dropped: int
    """Calls that were not put to the shadow: too many waited, they were too large, or their server ended first."""
    failed: int
    """Calls that one of the two could not answer."""


@dataclass(frozen=True, slots=True)
class VersionComparison:
    """How two versions differ."""

    version: ModelVersion
    """With the metrics of its holdout fit, which is measured on the same rows as the other's only where both were
    trained on the same data with the same split."""
    other_version: ModelVersion
    shadow: ShadowComparison | None
    """What came of asking one of the two as an alias's shadow beside the other; ``None`` where neither ever was."""
    sample: AnswerComparison | None
    """What both recommend to the sampled users; ``None`` where none were asked for."""
