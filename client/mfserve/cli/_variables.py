"""Variables that look like one of the command line's."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from mfserve._client.credentials import VARIABLES

_OURS = ("MFSERVE_ADDRESS", "MFSERVE_ACTOR", *VARIABLES.values())
_SERVERS = ("MFSERVE_DATA_ROOTS", "MFSERVE_TLS_CERTIFICATE")
"""Settings of servers that are spelt much like ours."""


def misspelt(environment: Iterable[str]) -> list[str]:
    """A line for each variable that was probably meant to be one of ours."""
    return [
        f"{name} is ignored (did you mean {meant}?)"
        for name in sorted(environment)
        if name not in (*_OURS, *_SERVERS)
        and (meant := next(iter(get_close_matches(name, _OURS, n=1, cutoff=0.85)), None))
    ]
