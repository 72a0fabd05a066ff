"""How long a search for several questions takes, learnt from those that were made."""

from __future__ import annotations

import math
from dataclasses import dataclass

_SMOOTHING = 0.2
"""What the newest search of a size counts for, beside all before it (exponential smoothing)."""
_MEMORY = 1000
"""Searches after which a size is forgotten that none of them had: the machine may be busier now, or idle again."""
_REACH = 2.0
"""Times the questions of a known search that are thought to take no longer: from a few questions to some more a search
mostly walks through the items once, and what it really takes is only learnt by trying."""


@dataclass(slots=True)
class _Size:
    """Searches of about one size.

    Attributes:
        questions, seconds: means.
        last: number of the latest of them, among all searches.
    """

    questions: float
    seconds: float
    last: int


class SearchTimes:
    """Means of the searches of about one size; a size that was not seen is bounded by those that were.

    Fewer questions take no longer, and somewhat more hardly longer; beyond that, each may take what each took.
    """

    def __init__(self) -> None:
        self._sizes: dict[int, _Size] = {}
        self._searches = 0

    def note(self, questions: int, seconds: float) -> None:
        """A search has been made."""
        self._searches += 1
        size = self._sizes.setdefault(_about(questions), _Size(questions, seconds, self._searches))
        size.questions += _SMOOTHING * (questions - size.questions)
        size.seconds += _SMOOTHING * (seconds - size.seconds)
        size.last = self._searches
        self._sizes = {key: each for key, each in self._sizes.items() if self._searches - each.last < _MEMORY}

    def expected(self, questions: float) -> float:
        """Seconds that a search will take; 0 where none was made yet."""
        if (seen := self._sizes.get(_about(questions))) is not None:
            return seen.seconds
        return min(
            (size.seconds * max(questions / (_REACH * size.questions), 1.0) for size in self._sizes.values()),
            default=0.0,
        )


def _about(questions: float) -> int:
    """The same for sizes that differ by less than a half."""
    return int(2 * math.log2(questions))
