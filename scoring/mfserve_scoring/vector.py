"""One user, as a head sees it."""

from __future__ import annotations

from typing import NamedTuple

from mfserve_scoring.exact import Floats


class Vector(NamedTuple):
    """What a head's scores of one user are made of, trained or folded in.

    Attributes:
        factors: float32 (k,).
        offset: added to every item's score; None for nothing.
    """

    factors: Floats
    offset: float | None
