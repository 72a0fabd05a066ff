"""Child processes that are kept running."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from socket import socket, socketpair
from typing import Any

import structlog

FIRST_DELAY_SECONDS = 0.5
LAST_DELAY_SECONDS = 30.0
STEADY_SECONDS = 30.0
"""A process that lived so long was healthy: its next death counts as the first again."""
STARTS = 3
"""So often a process that never became ready is tried."""
LOOK_SECONDS = 5.0
SILENT_LOOKS = 6
"""A process that is ready and tells nothing for so many looks in a row hangs.

Time alone would not do: to a parent that was itself stopped, with the machine or by a debugger, all seem to have been
silent. It is late for one look.
"""

_log = structlog.get_logger(__name__)


class NeverReady(Exception):
    """A process died again and again before it was ready."""


class Child:
    """A process that is started again when it dies.

    Its standard input is a socket whose other end only we hold: when we die in whatever way, it reads the end of it.
    What it prints goes where our log goes.

    Args:
        name: for the log.
        command: program and arguments.
        environment: its whole environment.
        orders: the line that it is given on that socket, once it is known. A child with orders answers by a line of
            JSON when it is ready, and further ones when something of that has changed, or empty ones to show that it
            does not hang; one without is ready when it runs.
        died: called whenever the process has died, with what it had told.
        heard: called when the process has told something.

    Attributes:
        told: what the process that runs now has told; empty until it is ready.
        orders: as above.
        ready: done when it was ready for the first time; NeverReady where there was no sense in going on.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        orders: asyncio.Future[bytes] | None = None,
        died: Callable[[Mapping[str, Any]], None] = lambda _: None,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        self.name = name
        self._command = command
        self._environment = environment
        self.orders = orders
        self._died = died
        self._heard = heard
        self.told: dict[str, Any] = {}
        self._process: Process | None = None
        self._stopping = asyncio.Event()
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def is_up(self) -> bool:
        """Whether it runs, and has said that it is ready."""
        return bool(self.told)

    async def keep(self) -> None:
        """Runs it, again and again, until ``stop``, or until it has died too often to become ready ever."""
        delay = FIRST_DELAY_SECONDS
        starts = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            starts += 1
            try:
                code: int | str = await self._run()
            except OSError as error:  # no memory, too many processes: that may pass
                code = error.strerror or str(error)
            if self._stopping.is_set():
                return
            told, self.told = self.told, {}
            self._died(told)
            if self.orders is not None and not self.ready.done() and starts == STARTS:
                ended = f"{self.name} ended with code {code} before it was ready, {STARTS} times."
                self.ready.set_exception(NeverReady(ended))
                return
            if time.monotonic() - started > STEADY_SECONDS:
                delay = FIRST_DELAY_SECONDS
            _log.error("process ended; it is started again", name=self.name, code=code, in_seconds=delay)
            with suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._stopping.wait()
            delay = min(2 * delay, LAST_DELAY_SECONDS)

    def stop(self) -> None:
        """Asks it to end, and starts it no more."""
        self._stopping.set()
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._stopping.set()
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _run(self) -> int:
        ours, theirs = socketpair()
        with ours:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    *self._command,
                    stdin=theirs.fileno(),
                    stdout=sys.stderr,
                    env=self._environment,
                    # Ctrl-C on the terminal reaches us alone; we pass on what it means.
                    process_group=0,
                )
            self._process = process
            if self._stopping.is_set():
                self._signal(signal.SIGTERM)
            try:
                if self.orders is not None:
                    await self._instruct(process, ours, self.orders)
                return await process.wait()
            finally:
                if process.returncode is None:  # we were cancelled
                    process.kill()
                    await process.wait()
                self._process = None

    async def _instruct(self, process: Process, ours: socket, orders: asyncio.Future[bytes]) -> None:
        """Gives it its orders, and listens to it until it ends."""
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        died = asyncio.ensure_future(process.wait())
        try:
            await asyncio.wait((orders, died), return_when=asyncio.FIRST_COMPLETED)
            if orders.done():
                writer.write(orders.result() + b"\n")
                if await self._listen(reader):
                    _log.error("kills a process that hangs", name=self.name)
                    process.kill()
        finally:
            died.cancel()
            writer.close()

    async def _listen(self, reader: asyncio.StreamReader) -> bool:
        """Until it ends, or hangs: whether it does."""
        silent = 0
        while silent < SILENT_LOOKS:
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    line = await reader.readline()
            except TimeoutError:
                silent += self.is_up  # before that it may be importing
                continue
            except ConnectionError:  # it died before it had read its orders
                return False
            if not line:
                return False
            silent = 0
            if told := json.loads(line):
                self._hear(told)
        return True

    def _hear(self, told: dict[str, Any]) -> None:
        self.told |= told
        self._heard()
        if not self.ready.done():
            self.ready.set_result(None)
