"""Waits for what another process does. Nothing here can be told of it by an event, so it is asked again and again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], what: str, seconds: float = 90.0) -> Found:
    """What ``look`` finds, asked again until it finds something; fails after so many seconds, saying ``what``."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain until {what}"
        time.sleep(0.02)
    return found
