"""Which of several versions answers a user.

Weighted rendezvous hashing: each version draws a number for the user, and the highest wins. That of version v is

    -weight(v) / ln(h),

where h, uniform in (0, 1), is drawn by hashing the model, the alias, the version and the user's id (``draws``). As
-ln(h) / weight(v) has the exponential distribution of the rate weight(v), the lowest of these, and so the highest
number, is that of v for weight(v) / (the sum of the weights) of the users.

A user's number for a version depends on that version and its weight alone. So whoever changes the weights or adds a
version moves users only to versions whose share has grown, and takes away a version only its own users: no more than
must be. And nothing is kept: every process finds the same, on every machine. Two machines' logarithms may differ in the
last bit, which matters to one user in 10^15.

Source: C. Schindelhauer and G. Schomaker, Weighted distributed hash tables, SPAA 2005, the logarithmic method.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log

from mfserve_registry.aliases import AliasTarget
from mfserve_server.draws import Draw


class Split:
    """The shares of an alias's versions.

    Args:
        model, alias: so that two aliases draw independently.
        targets: the versions, at least one, with their weights; the heaviest first.
    """

    def __init__(self, model: str, alias: str, targets: Sequence[AliasTarget]) -> None:
        self._draws = [
            (target.weight, Draw("mfserve-split", model, alias, target.version)) for target in targets
        ]

    def place(self, user_id: str) -> int:
        """Which of the targets answers a user, from 0; the first one a call that names no user ("")."""
        if len(self._draws) == 1 or not user_id:
            return 0
        numbers = [-weight / log(draw.of(user_id)) for weight, draw in self._draws]
        return numbers.index(max(numbers))
