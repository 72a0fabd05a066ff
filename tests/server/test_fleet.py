"""Server processes that are replaced, by small programs that answer like them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from mfserve_server import children, fleet
from mfserve_server.fleet import Fleet
from mfserve_server.keeping import Keeping
from mfserve_server.settings import Settings
from mfserve_server.start_folder import StartFolder
from tests.waiting import until

READY = """
import os, sys
sys.stdin.readline()
if os.path.exists(sys.argv[1]):
    exec(open(sys.argv[1]).read())
os.write(0, b'{"server_id": "none", "serving": true}\\n')
sys.stdin.read()
"""
"""Is ready at once, unless the file of its argument has something to be done before."""
DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1] + ".begun", "w").close()
time.sleep(600)
"""
GONE = "sys.exit(3)"


@pytest.fixture
def before(tmp_path: Path) -> Path:
    return tmp_path / "before"


@asynccontextmanager
async def running(before: Path) -> AsyncIterator[tuple[Fleet, Keeping]]:
    """Two processes that are ready; what is left of them at the end must end by itself."""
    keeping = Keeping()
    command = [sys.executable, "-S", "-c", READY, str(before)]
    ours = Fleet(Settings(home=before.parent, workers=2), keeping, lambda: None, command)
    ours.start()
    ours.instruct(StartFolder(before.parent))
    await ours.until_ready()
    yield ours, keeping
    await ours.stop_rolling()
    await keeping.end(*keeping.children, patience=60)
    assert keeping.children == []


def let_do(before: Path, program: str) -> None:
    before.write_text(program)


def pids(ours: Fleet) -> list[int | None]:
    return [worker.pid for worker in ours.workers]


async def test_one_after_the_other_is_replaced(before: Path) -> None:
    async with running(before) as (ours, keeping):
        first = pids(ours)
        with capture_logs() as logs:
            ours.begin_to_roll()
            ours.begin_to_roll()
            await until(lambda: "has replaced its server processes" in [log["event"] for log in logs])
        assert [log["event"] for log in logs] == [
            "is replacing its server processes already",
            "replaces its server processes",
            "has replaced its server processes",
        ]
        assert not set(pids(ours)) & set(first)
        assert len(keeping.children) == 2
        assert ours.deaths == 0


async def test_one_that_never_becomes_ready_takes_no_place(
    before: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(fleet, "READY_SECONDS", 0.5)
    async with running(before) as (ours, keeping):
        monkeypatch.setattr(ours, "patience", 0.1)
        first = pids(ours)
        for program, why in ((GONE, "ended with code 3"), (DEAF, "")):
            let_do(before, program)
            with capture_logs() as logs:
                ours.begin_to_roll()
                await until(lambda: any(log["event"].startswith("goes on") for log in logs))
                await until(lambda: len(keeping.children) == 2)
            (log,) = [log for log in logs if log["event"].startswith("goes on")]
            assert why in log["message"]
            assert pids(ours) == first
        assert not keeping.failed.done()


async def test_an_end_waits_for_no_process_that_is_to_take_a_place(before: Path) -> None:
    async with running(before) as (ours, keeping):
        let_do(before, DEAF)
        ours.begin_to_roll()
        await until((before.parent / "before.begun").exists)
        (new,) = {child for child in keeping.children if child not in ours.workers}
        pid = new.pid
        await asyncio.wait_for(ours.stop_rolling(), 10)
        at_once: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        ending = asyncio.create_task(keeping.end(*keeping.children, patience=600, at_once=at_once))
        await until(lambda: keeping.children == [new])  # all others have ended when they were told
        at_once.set_result(None)
        await asyncio.wait_for(ending, 10)
        assert pid is not None
        assert not psutil.pid_exists(pid)


async def test_those_that_are_starting_are_not_replaced(tmp_path: Path) -> None:
    keeping = Keeping()
    command = [sys.executable, "-S", "-c", READY, os.devnull]
    ours = Fleet(Settings(home=tmp_path, workers=1), keeping, lambda: None, command)
    ours.start()
    with capture_logs() as logs:
        ours.begin_to_roll()
    assert [log["event"] for log in logs] == ["does not replace its server processes: they are only starting"]
    await keeping.end(*keeping.children, patience=60)
