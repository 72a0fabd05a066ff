"""How long callers wait for the registry's database."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from mfserve_registry.contact import Contact
from mfserve_registry.errors import Unavailable
from mfserve_server import executors
from mfserve_server.executors import Executors

Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("describes", [False, True])
def test_a_server_that_stood_still_does_not_take_its_registry_for_silent(
    describes: bool, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executors, "ANSWER_SECONDS", 0.5)
    monkeypatch.setattr(executors, "DESCRIBING_SECONDS", 0.5)
    asked, stands_still = threading.Event(), threading.Event()

    def ask(_: object = None) -> str:
        asked.set()
        assert stands_still.wait(5)
        return "answer"

    async def main() -> None:
        asking: asyncio.Task[object] = asyncio.create_task(
            opened.describing(ask, [1, 2]) if describes else opened.registry(ask)
        )
        for _ in range(3):  # until the thread has it
            await asyncio.sleep(0)
        assert asked.wait(5)
        stands_still.set()
        time.sleep(1)  # noqa: ASYNC251 - as where the process is stopped, or its machine
        assert await asking == (["answer", "answer"] if describes else "answer")

    opened = Executors(Contact())
    try:
        run(main())
    finally:
        opened.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_registry_that_is_silent_is_waited_for_so_long(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "ANSWER_SECONDS", 0.05)
    answers = threading.Event()

    async def main() -> None:
        with pytest.raises(Unavailable, match="does not answer"):
            await opened.registry(answers.wait)

    opened = Executors(Contact())
    try:
        run(main())
    finally:
        answers.set()
        opened.close()
