"""Writes the steps of a training into the registry while it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress

from mfserve_registry import Progress
from mfserve_registry.contact import Contact
from mfserve_registry.errors import Unavailable

_TOGETHER_SECONDS = 0.1
"""Steps that come within this time are written together."""
_AGAIN_SECONDS = 1.0


@asynccontextmanager
async def recording(
    write: Callable[[Sequence[Progress]], None], contact: Contact
) -> AsyncIterator[Callable[[Progress], None]]:
    """Yields what takes a step; all steps are written, in order, by the end of the context.

    Args:
        write: stores steps; may block, so it runs in a thread. While it raises Unavailable the steps are kept and
            written later, but the end of the context tries only once more.
        contact: is told whether the registry answers.

    Raises:
        RegistryError: what ``write`` raised; nothing was written from then on. Unavailable gives way to what the
            context raised itself: on a disk that is full neither has room.
    """
    steps: asyncio.Queue[Progress | None] = asyncio.Queue()
    ending = asyncio.Event()

    async def write_all() -> None:
        last = False
        while not last:
            batch = [await steps.get()]
            if batch[-1] is not None:
                await _wait(ending, _TOGETHER_SECONDS)
            while not steps.empty():
                batch.append(steps.get_nowait())
            last = batch[-1] is None
            if found := [step for step in batch if step is not None]:
                await _write(write, found, contact, ending)

    async def end() -> None:
        ending.set()
        steps.put_nowait(None)
        await writing

    writing = asyncio.create_task(write_all())
    try:
        yield steps.put_nowait
    except BaseException:
        with suppress(Unavailable):  # what broke the training off says more
            await end()
        raise
    else:
        await end()


async def _write(
    write: Callable[[Sequence[Progress]], None],
    steps: Sequence[Progress],
    contact: Contact,
    ending: asyncio.Event,
) -> None:
    while True:
        last_try = ending.is_set()
        try:
            await asyncio.to_thread(write, steps)
        except Unavailable as error:
            if last_try:
                raise
            contact.failed(error)
        else:
            contact.found()
            return
        await _wait(ending, _AGAIN_SECONDS)


async def _wait(ending: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await ending.wait()
    except TimeoutError:
        pass
