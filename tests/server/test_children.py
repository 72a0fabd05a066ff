from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping

import pytest
from structlog.testing import capture_logs

from mfserve_server import children
from mfserve_server.children import STARTS, Child, NeverReady
from tests.waiting import until


async def test_a_program_that_cannot_be_started_is_a_death_like_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children, "FIRST_DELAY_SECONDS", 0.01)
    orders: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    child = Child("worker 0", ["/no/such/program"], {}, orders)
    with capture_logs() as logs:
        await child.keep()
    with pytest.raises(NeverReady, match="No such file"):
        await child.ready
    assert len(logs) == STARTS - 1
    assert {log["code"] for log in logs} == {"No such file or directory"}


CHATTY = """
import os, sys
print("x" * 100_000)
print('{"server_id": "none"}', flush=True)
os.write(0, b'{"serving": true, "orders": "%b"}\\n' % sys.stdin.buffer.readline().rstrip())
sys.stdin.read()
"""


async def test_what_a_process_prints_is_not_taken_for_what_it_tells() -> None:
    orders: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    child = Child("worker 0", [sys.executable, "-S", "-c", CHATTY], {}, orders)
    keeping = asyncio.create_task(child.keep())
    orders.set_result(b"serve")
    await child.ready
    assert child.told == {"serving": True, "orders": "serve"}
    child.stop()
    await keeping


BEATING = """
import os, sys, time
sys.stdin.readline()
os.write(0, b'{"beats": 0}\\n')
for _ in range(40):
    time.sleep(0.02)
    os.write(0, b"{}\\n")
os.write(0, b'{"beats": 40}\\n')
sys.stdin.read()
"""


async def test_a_process_that_falls_silent_is_killed_and_started_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(children, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(children, "LOOK_SECONDS", 0.1)
    dead: asyncio.Queue[Mapping[str, int]] = asyncio.Queue()
    orders: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    orders.set_result(b"serve")
    child = Child("worker 0", [sys.executable, "-S", "-c", BEATING], {}, orders, died=dead.put_nowait)
    keeping = asyncio.create_task(child.keep())
    await child.ready
    first = child.pid
    assert await dead.get() == {"beats": 40}
    assert not child.is_up
    await until(lambda: child.is_up)
    assert child.pid != first
    child.kill()
    await keeping
