"""The worker's end of a fit process: starts it, gives it tasks, reads its answers, kills it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass

from mfserve_registry.settings import ProcessSettings
from mfserve_trainer.messages import (
    TEMPORARY_FILES,
    Done,
    Failed,
    FitTask,
    Ready,
    Step,
    parse_answer,
)

# An answer may carry pictures.
_LONGEST_LINE = 256 * 2**20

_END_SECONDS = 5.0
"""How long a process that answers no more has to end by itself."""


class FitProcessDied(Exception):
    """The fit process ended in the middle of a task; the text says how, for the log and the job."""


@dataclass(frozen=True, slots=True)
class _Running:
    process: asyncio.subprocess.Process
    answers: asyncio.StreamReader
    temporary: str
    """Folder of its temporary files: TensorFlow leaves some, and what is killed does not clean up."""

    def remove_files(self) -> None:
        shutil.rmtree(self.temporary, ignore_errors=True)


class Fitter:
    """One fit process, started at the first task and kept for the next ones."""

    def __init__(self, settings: ProcessSettings) -> None:
        self._settings = settings
        self._running: _Running | None = None

    @property
    def pid(self) -> int | None:
        """Of its process, if one runs."""
        return None if self._running is None else self._running.process.pid

    async def start(self) -> None:
        """Starts the process, if none runs: it loads TensorFlow, which takes seconds, while the worker is idle.

        Raises:
            FitProcessDied: it could not be started.
        """
        if self._running is not None:
            if self._running.process.returncode is None:
                return
            await self.kill()
        try:
            self._running = await self._spawn()
        except OSError as error:
            raise FitProcessDied(
                f"no fit process can be started: {error.strerror or type(error).__name__}"
            ) from error
        # Only what a fit process needs: it never opens the database.
        shared = ProcessSettings(
            home=self._settings.home,
            log_level=self._settings.log_level,
            log_format=self._settings.log_format,
        )
        await self._send(shared.model_dump_json().encode() + b"\n")

    async def perform(self, task: FitTask) -> AsyncGenerator[Step | Done | Failed, None]:
        """Yields the steps of the task, and last what came of it.

        The process is killed if the generator is closed before, so that no answer to this task is taken for one to
        the next.

        Raises:
            FitProcessDied: it came to nothing.
        """
        answered = False
        try:
            await self.start()
            await self._send(task.line())
            while not answered:
                answer = await self._answer()
                if isinstance(answer, Ready):
                    continue
                answered = isinstance(answer, Done) or (isinstance(answer, Failed) and not answer.defect)
                if isinstance(answer, Failed) and answer.defect:
                    await self.kill()
                    answered = True
                yield answer
        finally:
            if not answered:
                await self.kill()

    async def kill(self) -> None:
        """Ends the process at once, whatever it does; the next task gets a new one."""
        running, self._running = self._running, None
        if running is not None:
            with suppress(ProcessLookupError):
                running.process.kill()
            await running.process.wait()
            running.remove_files()

    async def _spawn(self) -> _Running:
        temporary = tempfile.mkdtemp(prefix="mfserve-fit-")
        readable, writable = os.pipe()
        process: asyncio.subprocess.Process | None = None
        try:
            answers = asyncio.StreamReader(limit=_LONGEST_LINE)
            protocol = asyncio.StreamReaderProtocol(answers)
            await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, os.fdopen(readable, "rb"))
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "mfserve_trainer.fit_process",
                str(writable),
                stdin=asyncio.subprocess.PIPE,
                stdout=sys.stderr,
                pass_fds=[writable],
                env={**os.environ, TEMPORARY_FILES: temporary},
                # Ctrl-C is for the worker, which gives the job back.
                process_group=0,
            )
            return _Running(process, answers, temporary)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        finally:
            # The reader's end closes itself when no writer is left.
            os.close(writable)

    async def _send(self, line: bytes) -> None:
        running = self._running
        if running is None or running.process.stdin is None:
            raise FitProcessDied("no fit process runs")
        try:
            running.process.stdin.write(line)
            await running.process.stdin.drain()
        except ConnectionError:
            raise FitProcessDied(await self._how_it_ended(running)) from None

    async def _answer(self) -> Ready | Step | Done | Failed:
        running = self._running
        if running is None:
            raise FitProcessDied("the fit process was ended")
        line = await running.answers.readline()
        if not line.endswith(b"\n"):
            raise FitProcessDied(await self._how_it_ended(running))
        return parse_answer(line)

    async def _how_it_ended(self, running: _Running) -> str:
        try:
            async with asyncio.timeout(_END_SECONDS):
                code = await running.process.wait()
        except TimeoutError:
            code = None
        await self.kill()
        if code is None:
            return "the fit process answered no more"
        return f"the fit process {f'was killed by signal {-code}' if code < 0 else f'ended with code {code}'}"
