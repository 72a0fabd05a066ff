"""How long a search for several questions takes, learnt from those that were made."""

from __future__ import annotations

import math
from dataclasses import dataclass

_SMOOTHING = 0.2
"""What the newest search of a size counts for, beside all before it (exponential smoothing)."""
_MEMORY = 50
"""Searches after which a size is forgotten that none of them had: the machine may be busier now, or idle again. A size
that seems to take too long is not tried again before that."""
_REACH = 2.0
"""Times the questions of a known search that are thought to take no longer: from a few questions to some more a search
mostly walks through the items once, and what it really takes is only learnt by trying."""
_DEVIATIONS = 3.0
"""Mean deviations by which a search may take longer than the mean. That of its parts is taken for that of the whole:
where the machine has other things to do, parts that follow one another are slow together."""


@dataclass(frozen=True, slots=True)
class _Size:
    """Searches of about one size.

    Attributes:
        seen: how many they are.
        questions, seconds: means.
        deviation: mean absolute deviation of the seconds.
        last: number of the latest of them, among all searches.
    """

    seen: float
    questions: float
    seconds: float
    deviation: float
    last: float

    @property
    def longest(self) -> float:
        """Seconds that hardly any of them exceeds."""
        return self.seconds + _DEVIATIONS * self.deviation


class SearchTimes:
    """What searches of about one size took; a size that was not seen is bounded by those that were.

    Fewer questions take no longer, and somewhat more hardly longer; beyond that, each may take what each took. Means
    and deviations are estimated as TCP does it for round trips (Jacobson 1988, "Congestion Avoidance and Control",
    appendix A): by the mean alone, half of those who are promised an answer in time would get it late.

    One thread may note what another asks for.
    """

    def __init__(self) -> None:
        self._sizes: dict[int, _Size] = {}
        self._searches = 0.0

    def note(self, questions: int, seconds: float, share: float = 1.0) -> None:
        """A search has been made.

        Args:
            questions: that it answered.
            seconds: that it took, or would have taken as a whole.
            share: of it that was made, above 0: what this counts for.
        """
        self._searches += share
        about = _about(questions)
        before = self._sizes.get(about, _Size(0.0, questions, seconds, 0.0, self._searches))
        seen, error = before.seen + share, seconds - before.seconds
        weight = max(share * _SMOOTHING, share / seen)  # the plain mean at first
        after = _Size(
            seen,
            before.questions + weight * (questions - before.questions),
            before.seconds + weight * error,
            before.deviation + weight * (abs(error) - before.deviation),
            self._searches,
        )
        sizes = self._sizes | {about: after}
        self._sizes = {key: size for key, size in sizes.items() if self._searches - size.last < _MEMORY}

    def longest(self, questions: float) -> float:
        """Seconds that a search hardly exceeds; 0 where none was made yet."""
        sizes = self._sizes
        own = sizes.get(_about(questions))
        larger = [size for size in sizes.values() if own is None or size.questions > own.questions]
        bounds = [size.longest * max(questions / (_REACH * size.questions), 1.0) for size in larger]
        return min(bounds if own is None else [own.longest, *bounds], default=0.0)


def _about(questions: float) -> int:
    """The same for sizes that differ by less than a half."""
    return int(2 * math.log2(questions))
