"""Who runs first in a process that refuses calls."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfserve_server import threads
from mfserve_server.admission import shedding
from mfserve_server.admission.shedding import Shedding
from mfserve_server.threads import lower_priority
from tests.waiting import until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have policies on Linux alone")


@pytest.fixture(autouse=True)
def _soon_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shedding, "SECONDS", 0.05)


@pytest.fixture
def idle() -> Iterator[threading.Thread]:
    """A thread that waits, with less priority than others."""
    begun, free = threading.Event(), threading.Event()

    def wait() -> None:
        lower_priority()
        begun.set()
        free.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait()
    yield thread
    free.set()
    thread.join()


def policies() -> set[int]:
    return {os.sched_getscheduler(int(thread.name)) for thread in Path("/proc/self/task").iterdir()}


async def test_threads_wait_for_one_another_until_calls_are_refused_no_more(idle: threading.Thread) -> None:
    refuses, number = Shedding(), idle.native_id
    assert number is not None
    niceness = os.getpriority(os.PRIO_PROCESS, number)
    assert not refuses.goes_on
    for _ in range(2):
        refuses.refused()
        assert policies() == {os.SCHED_BATCH}
        await until(lambda: not refuses.goes_on)
        assert policies() == {os.SCHED_OTHER}
    assert os.getpriority(os.PRIO_PROCESS, number) == niceness


async def test_each_refusal_prolongs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[bool] = []
    monkeypatch.setattr(shedding, "wake_quietly", changes.append)
    refuses, count = Shedding(), 0

    def refuse() -> bool:
        nonlocal count
        refuses.refused()
        count += 1
        return count == 20

    await until(refuse)
    assert changes == [True]
    await until(lambda: not refuses.goes_on)
    assert changes == [True, False]


async def test_a_thread_that_was_given_another_policy_keeps_it(idle: threading.Thread) -> None:
    number = idle.native_id
    assert number is not None
    os.sched_setscheduler(number, os.SCHED_IDLE, os.sched_param(0))
    refuses = Shedding()
    refuses.refused()
    assert policies() == {os.SCHED_BATCH, os.SCHED_IDLE}
    await until(lambda: not refuses.goes_on)
    assert os.sched_getscheduler(number) == os.SCHED_IDLE


async def test_a_process_that_was_given_another_policy_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_POLICY", os.SCHED_BATCH)
    refuses = Shedding()
    refuses.refused()
    assert policies() == {os.SCHED_OTHER}
    await until(lambda: not refuses.goes_on)
