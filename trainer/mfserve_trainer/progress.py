"""How far a training is, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from mfserve_registry.jobs import Progress
from mfserve_trainer.engines.base import Epoch

ReportStep = Callable[[Progress], None]
"""Called with the start of every stage and with every epoch, in order."""

Clock = Callable[[], float]
"""Seconds of a clock that never goes back."""


class Stage(StrEnum):
    """The parts of a training: the names of ``mfserve.v1.TrainingStage``, without its prefix."""

    LOADING = "LOADING"
    RATING_FIT = "RATING_FIT"
    RANKING_FIT = "RANKING_FIT"
    EVALUATION = "EVALUATION"
    RATING_REFIT = "RATING_REFIT"
    RANKING_REFIT = "RANKING_REFIT"
    INDEXING = "INDEXING"
    REPORT = "REPORT"
    PUBLISHING = "PUBLISHING"
    TUNING_RATING = "TUNING_RATING"
    TUNING_RANKING = "TUNING_RANKING"


_SAME_WORK = {Stage.RATING_REFIT: Stage.RATING_FIT, Stage.RANKING_REFIT: Stage.RANKING_FIT}

# Seconds per rating, measured once with MovieLens 100K on 2 cores: what a stage is counted at before the job
# itself has measured it. Within a factor of a few; the keras engine alone is far off, and it is measured first.
_ASSUMED_SECONDS = {
    Stage.RATING_FIT: 5e-7,
    Stage.RANKING_FIT: 7e-7,
    Stage.EVALUATION: 1e-5,
    Stage.INDEXING: 1e-6,
    Stage.REPORT: 3.0,  # in all: it draws from samples, so it is planned as one pass over one rating
    Stage.PUBLISHING: 1e-6,
    Stage.TUNING_RATING: 1e-5,
    Stage.TUNING_RANKING: 2e-5,
}


@dataclass(frozen=True, slots=True)
class Work:
    """One stage that lies ahead.

    Attributes:
        stage: which.
        passes: its epochs; 1 for a stage that has none.
        ratings: how many each pass goes over.
    """

    stage: Stage
    passes: int
    ratings: int


@dataclass(slots=True)
class _Measured:
    """Seconds of the passes of one kind; the first is kept apart, as it includes building the computation."""

    first: float | None = None
    later: list[float] = field(default_factory=list)

    def add(self, seconds: float) -> None:
        if self.first is None:
            self.first = seconds
        else:
            self.later.append(seconds)

    def mean(self) -> float | None:
        return sum(self.later) / len(self.later) if self.later else self.first


class ProgressMeter:
    """Turns the stages and epochs of one training into steps with an estimate of the time that is left.

    The estimate multiplies the passes that lie ahead by their ratings and by the mean time per rating of the same
    kind of pass, as this job measured it: a fit's epochs foretell those of its refit. It is None until the first epoch.

    Args:
        report: gets every step.
        clock: what the passes are timed by.
    """

    def __init__(self, report: ReportStep, clock: Clock = time.monotonic) -> None:
        self._report = report
        self._clock = clock
        self._ahead: list[Work] = []
        self._measured: dict[Stage, _Measured] = {}
        self._pass_began = clock()

    def plan(self, ahead: Sequence[Work]) -> None:
        """Says what lies ahead, in order: known once the ratings are loaded."""
        self._ahead = list(ahead)

    def begin(self, stage: Stage, epochs: int = 0) -> None:
        """A stage begins; what was planned before it is over."""
        while self._ahead and self._ahead[0].stage is not stage:
            self._ahead.pop(0)
        self._pass_began = self._clock()
        self._report(Progress(stage, 0, epochs, {}, self._remaining(passes_done=0)))

    def epoch(self, stage: Stage, epoch: Epoch) -> None:
        """An epoch of the stage that has begun last is finished."""
        now = self._clock()
        ratings = self._ahead[0].ratings if self._ahead else 0
        if ratings:
            measured = self._measured.setdefault(_SAME_WORK.get(stage, stage), _Measured())
            measured.add((now - self._pass_began) / ratings)
        self._pass_began = now
        self._report(Progress(stage, epoch.number, epoch.total, epoch.metrics, self._remaining(epoch.number)))

    def _remaining(self, passes_done: int) -> float | None:
        if not self._measured:
            return None
        seconds = 0.0
        for place, work in enumerate(self._ahead):
            passes = work.passes - (passes_done if place == 0 else 0)
            seconds += passes * work.ratings * self._seconds_per_rating(work.stage)
        return seconds

    def _seconds_per_rating(self, stage: Stage) -> float:
        kind = _SAME_WORK.get(stage, stage)
        measured = self._measured.get(kind)
        mean = None if measured is None else measured.mean()
        return _ASSUMED_SECONDS.get(kind, 0.0) if mean is None else mean
