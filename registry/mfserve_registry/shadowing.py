"""What asking a shadow beside the versions that answer has found.

Each server process keeps one row for each pair of versions, with its sums since its start, and replaces it. So a write
that may have failed is simply done again: nothing is lost by it and nothing counted twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import NamedTuple, Self

from sqlalchemy import delete, insert, select

from mfserve_registry.database import Database
from mfserve_registry.tables import shadow_sums


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


class Pair(NamedTuple):
    """A version that answers callers, and the shadow that is asked beside it."""

    model: str
    version: int
    shadow: int


class Shadowing:
    """What server processes have found about shadows."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, server_id: str, found: Mapping[Pair, ShadowSums]) -> None:
        """Replaces what the process has told of these pairs before."""
        table = shadow_sums.c
        with self._database.write() as connection:
            for pair, sums in found.items():
                connection.execute(
                    delete(shadow_sums).where(
                        table.model == pair.model,
                        table.version == pair.version,
                        table.shadow_version == pair.shadow,
                        table.server_id == server_id,
                    )
                )
                connection.execute(
                    insert(shadow_sums).values(
                        model=pair.model,
                        version=pair.version,
                        shadow_version=pair.shadow,
                        server_id=server_id,
                        answers=_to_json(sums.answers),
                        dropped=sums.dropped,
                        failed=sums.failed,
                    )
                )

    def between(self, model: str, version: int, other: int) -> ShadowSums:
        """All that was found about two versions, whichever of them was the shadow; ``version`` comes first."""
        return self._of(Pair(model, version, other)) + self._of(Pair(model, other, version)).turned()

    def _of(self, pair: Pair) -> ShadowSums:
        query = select(shadow_sums).where(
            shadow_sums.c.model == pair.model,
            shadow_sums.c.version == pair.version,
            shadow_sums.c.shadow_version == pair.shadow,
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
        found = [ShadowSums(_from_json(row.answers), row.dropped, row.failed) for row in rows]
        return sum(found, ShadowSums())


def _to_json(answers: AnswerSums) -> dict[str, list[float]]:
    sums: dict[str, Sums] = {one.name: getattr(answers, one.name) for one in fields(answers)}
    return {name: [one.count, one.total, one.squares] for name, one in sums.items()}


def _from_json(answers: Mapping[str, list[float]]) -> AnswerSums:
    """What a newer release has measured besides is left out, and what an older one has not is none."""
    known = {one.name for one in fields(AnswerSums)}
    return AnswerSums(
        **{
            name: Sums(int(count), total, squares)
            for name, (count, total, squares) in answers.items()
            if name in known
        }
    )
