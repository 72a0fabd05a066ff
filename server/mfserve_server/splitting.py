"""Which of several versions answers a user.

Weighted rendezvous hashing: each version draws a number for the user, and the highest wins. That of version v is

    -weight(v) / ln(h),    h = (b + 1/2) / 2^52,

where b is the first 52 bits of BLAKE2b, with a digest of 8 bytes and the personalization ``mfserve-split``, of the
model, the alias, the decimal version and the user's id in UTF-8, joined by NUL. As -ln(h) / weight(v) has the
exponential distribution of the rate weight(v), the lowest of these, and so the highest number, is that of v for
weight(v) / (the sum of the weights) of the users.

A user's number for a version depends on that version and its weight alone. So whoever changes the weights or adds a
version moves users only to versions whose share has grown, and takes away a version only its own users: no more than
must be. And nothing is kept: every process finds the same, on every machine. Two machines' logarithms may differ in the
last bit, which matters to one user in 10^15.

Source: C. Schindelhauer and G. Schomaker, Weighted distributed hash tables, SPAA 2005, the logarithmic method.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import log

from mfserve_registry.aliases import AliasTarget

_PERSON = b"mfserve-split"
_BITS = 52
"""With half a unit more these are exact in a float, and neither 0 nor 1."""


class Split:
    """The shares of an alias's versions.

    Args:
        model, alias: so that two aliases draw independently.
        targets: the versions, at least one, with their weights; the heaviest first.
    """

    def __init__(self, model: str, alias: str, targets: Sequence[AliasTarget]) -> None:
        # Each hash begins with what is the same for all users.
        self._begun = [
            (
                target.weight,
                blake2b(f"{model}\0{alias}\0{target.version}\0".encode(), digest_size=8, person=_PERSON),
            )
            for target in targets
        ]

    def place(self, user_id: str) -> int:
        """Which of the targets answers a user, from 0; the first one a call that names no user ("")."""
        if len(self._begun) == 1 or not user_id:
            return 0
        user = user_id.encode()
        numbers = []
        for weight, begun in self._begun:
            hashed = begun.copy()
            hashed.update(user)
            bits = int.from_bytes(hashed.digest(), "big") >> (64 - _BITS)
            numbers.append(-weight / log((bits + 0.5) / 2**_BITS))
        return numbers.index(max(numbers))
