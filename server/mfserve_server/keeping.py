"""Child processes while they are kept running, until they are told to end."""

from __future__ import annotations

import asyncio
from functools import partial

import structlog

from mfserve_server.children import Child

_log = structlog.get_logger(__name__)


class Keeping:
    """All children of this process.

    Attributes:
        failed: what keeping one has raised, if anything ever should: to go on with fewer would be silent.
    """

    def __init__(self) -> None:
        self._tasks: dict[Child, asyncio.Task[None]] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self, child: Child) -> None:
        task = self._tasks[child] = asyncio.create_task(child.keep())
        task.add_done_callback(partial(self._note_end, child))

    @property
    def children(self) -> list[Child]:
        return list(self._tasks)

    async def end(
        self, *children: Child, patience: float, at_once: asyncio.Future[None] | None = None
    ) -> None:
        """Asks these to end, and kills those that have not after ``patience`` seconds, or when ``at_once`` is done."""
        for child in children:
            child.stop()
        ending = {child: self._tasks[child] for child in children if child in self._tasks}
        ended = asyncio.gather(*ending.values(), return_exceptions=True)
        awaited = (ended,) if at_once is None else (ended, at_once)
        await asyncio.wait(awaited, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        if not ended.done():
            late = [child for child, task in ending.items() if not task.done()]
            _log.warning("kills what has not ended", names=[child.name for child in late])
            for child in late:
                child.kill()
        await ended

    def _note_end(self, child: Child, task: asyncio.Task[None]) -> None:
        del self._tasks[child]
        error = None if task.cancelled() else task.exception()
        if error is not None and not self.failed.done():
            self.failed.set_exception(error)
