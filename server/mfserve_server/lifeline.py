"""A server process's end of the socket between it and its parent."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from socket import socket
from typing import Protocol


class Tell(Protocol):
    """Tells the parent what has become of this process, as a line of JSON."""

    def __call__(self, **what: object) -> None: ...


@asynccontextmanager
async def lifeline(parent: socket, alone: Callable[[], None]) -> AsyncIterator[Tell]:
    """While it lasts, the parent can be told of things, and ``alone`` is called when the parent is gone."""
    reader, writer = await asyncio.open_unix_connection(sock=parent)

    def tell(**what: object) -> None:
        writer.write(json.dumps(what).encode() + b"\n")

    async def watch() -> None:
        with suppress(ConnectionError):  # it was gone before it had heard all
            await reader.read()
        alone()

    watching = asyncio.create_task(watch())
    try:
        yield tell
    finally:
        watching.cancel()
        writer.close()
