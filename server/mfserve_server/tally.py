"""What this process has found about shadows, and what of it the registry knows."""

from __future__ import annotations

from collections import Counter
from threading import Lock

from mfserve_registry import Registry
from mfserve_registry.shadowing import AnswerSums, Pair, ShadowSums


class Tally:
    """Sums since the process began, by pair of versions.

    Each kind of number is counted up by one thread alone, and read by any.

    Attributes:
        answered: of the calls that both versions answered.
        dropped: calls that were not put to the shadow.
        failed: calls that one of the two could not answer.
    """

    def __init__(self) -> None:
        self.answered: dict[Pair, AnswerSums] = {}
        self.dropped: Counter[Pair] = Counter()
        self.failed: Counter[Pair] = Counter()
        self._reporting = Lock()
        self._reported: dict[Pair, ShadowSums] = {}

    def sums(self) -> dict[Pair, ShadowSums]:
        """All that was found."""
        answered, dropped, failed = dict(self.answered), dict(self.dropped), dict(self.failed)
        return {
            pair: ShadowSums(answered.get(pair, AnswerSums()), dropped.get(pair, 0), failed.get(pair, 0))
            for pair in answered.keys() | dropped.keys() | failed.keys()
        }

    def report(self, registry: Registry, server_id: str) -> None:
        """Tells the registry what is new; blocks. What it may not have heard, by an error, is told again next time."""
        with self._reporting:
            new = {pair: sums for pair, sums in self.sums().items() if self._reported.get(pair) != sums}
            if new:
                registry.shadowing.put(server_id, new)
                self._reported |= new
