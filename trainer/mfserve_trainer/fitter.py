"""The worker's end of a fit process: starts it, gives it tasks, reads its answers, kills it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import suppress

from mfserve_registry.settings import ProcessSettings
from mfserve_trainer.messages import Done, Failed, FitTask, Ready, Step, parse_answer

# An answer may carry pictures.
_LONGEST_LINE = 256 * 2**20


class FitProcessDied(Exception):
    """The fit process ended in the middle of a task; the text says how, for the log and the job."""


class Fitter:
    """One fit process, started at the first task and kept for the next ones."""

    def __init__(self, settings: ProcessSettings) -> None:
        self._settings = settings
        self._process: asyncio.subprocess.Process | None = None
        self._answers: asyncio.StreamReader | None = None

    async def start(self) -> None:
        """Starts the process, if none runs: it loads TensorFlow, which takes seconds, while the worker is idle."""
        if self._process is not None and self._process.returncode is None:
            return
        readable, writable = os.pipe()
        try:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "mfserve_trainer.fit_process",
                str(writable),
                stdin=asyncio.subprocess.PIPE,
                stdout=sys.stderr,
                pass_fds=[writable],
            )
        finally:
            os.close(writable)
        self._answers = asyncio.StreamReader(limit=_LONGEST_LINE)
        protocol = asyncio.StreamReaderProtocol(self._answers)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(readable, "rb"))
        # Only what a fit process needs: it never opens the database.
        shared = ProcessSettings(
            home=self._settings.home,
            log_level=self._settings.log_level,
            log_format=self._settings.log_format,
        )
        await self._send(shared.model_dump_json().encode() + b"\n")

    async def perform(self, task: FitTask) -> AsyncIterator[Step | Done | Failed]:
        """Yields the steps of the task, and last what came of it.

        Raises:
            FitProcessDied: it came to nothing.
        """
        await self.start()
        await self._send(task.line())
        while True:
            answer = await self._answer()
            if isinstance(answer, Ready):
                continue
            if isinstance(answer, Failed) and answer.defect:
                await self.kill()
            yield answer
            if not isinstance(answer, Step):
                return

    async def kill(self) -> None:
        """Ends the process at once, whatever it does; the next task gets a new one."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
            self._process = None

    async def _send(self, line: bytes) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise FitProcessDied("no fit process runs")
        try:
            process.stdin.write(line)
            await process.stdin.drain()
        except ConnectionError:
            raise FitProcessDied(await self._how_it_ended()) from None

    async def _answer(self) -> Ready | Step | Done | Failed:
        line = b"" if self._answers is None else await self._answers.readline()
        if not line.endswith(b"\n"):
            raise FitProcessDied(await self._how_it_ended())
        return parse_answer(line)

    async def _how_it_ended(self) -> str:
        if self._process is None:
            return "the fit process was ended"
        code = await self._process.wait()
        self._process = None
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return f"the fit process {how}"
