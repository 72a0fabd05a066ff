"""A server process's end of the socket between it and its parent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from socket import socket
from typing import Protocol

BEAT_SECONDS = 2.0
"""How often the parent is told that our loop goes round, if nothing else: several times in one of its looks."""


class Tell(Protocol):
    """Tells the parent what has become of this process, as a line of JSON."""

    def __call__(self, **what: object) -> None: ...


@asynccontextmanager
async def lifeline(parent: socket, alone: Callable[[], None]) -> AsyncIterator[Tell]:
    """While it lasts, the parent can be told of things; ``alone`` is called when it is gone.

    It hears also that our loop goes round: one that hangs answers no call, and no probe of the parent would show it.
    """
    reader, writer = await asyncio.open_unix_connection(sock=parent)

    def tell(**what: object) -> None:
        writer.write(json.dumps(what).encode() + b"\n")

    async def watch() -> None:
        with suppress(ConnectionError):  # it was gone before it had heard all
            await reader.read()
        alone()

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            tell()

    tasks = asyncio.create_task(watch()), asyncio.create_task(beat())
    try:
        yield tell
    finally:
        for task in tasks:
            task.cancel()
        writer.close()
