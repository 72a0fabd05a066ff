"""Waits for what another process or task does. Nothing here can be told of it, so it is asked again and again."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None], what: str, seconds: float = 90.0) -> Found:
    """What ``look`` finds, asked again until it finds something; fails after so many seconds, saying ``what``."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain until {what}"
        time.sleep(0.02)
    return found


async def until(look: Callable[[], bool | Awaitable[bool]]) -> None:
    """The same on an event loop that has to go on; fails by the test's timeout."""
    while True:
        found = look()
        if await found if inspect.isawaitable(found) else found:
            return
        await asyncio.sleep(0.01)
