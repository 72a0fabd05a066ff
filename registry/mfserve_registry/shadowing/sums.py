"""Sums of what was measured, which add up over calls and processes."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Self


@dataclass(frozen=True, slots=True)
class Sums:
    """Of numbers that were measured: enough for their mean and deviation, and two of them add up to those of both.

    Attributes:
        count: how many.
        total: their sum.
        squares: the sum of their squares.
    """

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, *values: float | None) -> Self:
        """Of these; None is none."""
        measured = [value for value in values if value is not None]
        return cls(len(measured), sum(measured), sum(value * value for value in measured))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.count + other.count, self.total + other.total, self.squares + other.squares)

    def __neg__(self) -> Sums:
        """Of the numbers with the other sign."""
        return Sums(self.count, -self.total, self.squares)

    @property
    def mean(self) -> float:
        """0 of none."""
        return self.total / self.count if self.count else 0.0

    @property
    def deviation(self) -> float:
        """The standard deviation, the root of the mean squared distance from the mean; 0 of none."""
        return max(self.squares / self.count - self.mean**2, 0.0) ** 0.5 if self.count else 0.0


@dataclass(frozen=True, slots=True)
class AnswerSums:
    """How two versions answered the same questions; a number for each question.

    Attributes:
        overlap: share of the items that both list.
        rank_correlation: Kendall's tau-b of the items that both list, where there are two or more.
        score_shift: how much higher the second version scores these, on the average over them.
        seconds: that the first took; nothing where it was not measured, like the two below.
        other_seconds: that the second took.
        added_seconds: that the second took more.
    """

    overlap: Sums = field(default_factory=Sums)
    rank_correlation: Sums = field(default_factory=Sums)
    score_shift: Sums = field(default_factory=Sums)
    seconds: Sums = field(default_factory=Sums)
    other_seconds: Sums = field(default_factory=Sums)
    added_seconds: Sums = field(default_factory=Sums)

    def __add__(self, other: AnswerSums) -> AnswerSums:
        return AnswerSums(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def turned(self) -> AnswerSums:
        """With the second version as the first."""
        return AnswerSums(
            self.overlap,
            self.rank_correlation,
            -self.score_shift,
            self.other_seconds,
            self.seconds,
            -self.added_seconds,
        )


@dataclass(frozen=True, slots=True)
class ShadowSums:
    """What came of the calls that were meant for a shadow.

    Attributes:
        answers: of those that both versions answered.
        dropped: calls that were not put to it, because too many waited.
        failed: those that one of the two could not answer.
    """

    answers: AnswerSums = field(default_factory=AnswerSums)
    dropped: int = 0
    failed: int = 0

    def __add__(self, other: ShadowSums) -> ShadowSums:
        return ShadowSums(
            self.answers + other.answers, self.dropped + other.dropped, self.failed + other.failed
        )

    def turned(self) -> ShadowSums:
        """With the shadow as the first version."""
        return ShadowSums(self.answers.turned(), self.dropped, self.failed)
