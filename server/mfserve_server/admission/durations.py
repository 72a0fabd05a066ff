"""How long a search for several questions takes, learnt from those that were made."""

from __future__ import annotations

_MEMORY = 0.95
"""What a search counts for after the next one: the last twenty tell."""


class SearchTimes:
    """A line through the durations of searches by their number of questions: what they share, and what each adds.

    By least squares, in which a search counts less the longer ago it was.
    """

    def __init__(self) -> None:
        self._weight = self._n = self._nn = self._t = self._nt = 0.0

    def note(self, questions: int, seconds: float) -> None:
        """A search has been made."""
        self._weight = self._weight * _MEMORY + 1
        self._n = self._n * _MEMORY + questions
        self._nn = self._nn * _MEMORY + questions * questions
        self._t = self._t * _MEMORY + seconds
        self._nt = self._nt * _MEMORY + questions * seconds

    def expected(self, questions: int) -> float:
        """Seconds that a search will take; 0 where none was made yet."""
        if not self._weight:
            return 0.0
        mean_n, mean_t = self._n / self._weight, self._t / self._weight
        spread = self._nn / self._weight - mean_n**2
        # Searches for one number of questions tell nothing of others but that more take longer.
        slope = (self._nt / self._weight - mean_n * mean_t) / spread if spread > 1e-6 * mean_n**2 else 0.0
        return max(mean_t + max(slope, 0.0) * (questions - mean_n), 0.0)
