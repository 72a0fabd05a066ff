"""Works ahead of a slower reader, as far as a number of bytes allows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator


async def ahead(source: AsyncGenerator[bytes, None], most: int) -> AsyncGenerator[bytes, None]:
    """What ``source`` yields, which runs in a task of its own meanwhile.

    Args:
        source: closed at the end; its error is raised after what came before it.
        most: at least 1; as soon as so many bytes wait, or are in the reader's hands, the source stands still.
    """
    ready: deque[bytes] = deque()
    held = 0
    changed = asyncio.Event()
    room = asyncio.Event()

    async def fill() -> None:
        nonlocal held
        async for data in source:
            ready.append(data)
            held += len(data)
            changed.set()
            while held >= most:
                room.clear()
                await room.wait()

    filling = asyncio.create_task(fill())
    filling.add_done_callback(lambda _: changed.set())
    try:
        while True:
            while not ready and not filling.done():
                changed.clear()
                await changed.wait()
            if not ready:
                break
            data = ready.popleft()
            yield data
            # Whoever asks for the next has done with this one.
            held -= len(data)
            room.set()
        await filling
    finally:
        filling.cancel()
        await asyncio.gather(filling, return_exceptions=True)
        await source.aclose()
