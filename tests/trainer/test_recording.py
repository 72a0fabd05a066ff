"""Steps reach the registry in order and in full, also past a database that does not answer for a while."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from structlog.testing import capture_logs

import mfserve_trainer.recording
from mfserve_registry import Progress
from mfserve_registry.contact import Contact
from mfserve_registry.errors import LeaseLost, Unavailable
from mfserve_trainer.recording import recording


def step(number: int) -> Progress:
    return Progress("RATING_FIT", number, 10)


async def test_steps_are_written_in_order_while_the_context_lasts() -> None:
    written: list[Progress] = []
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()

    def write(steps: Sequence[Progress]) -> None:
        written.extend(steps)
        loop.call_soon_threadsafe(arrived.set)

    async with recording(write, Contact()) as record:
        record(step(1))
        await arrived.wait()
        assert written == [step(1)]
        for number in range(2, 50):
            record(step(number))
    assert written == [step(number) for number in range(1, 50)]


async def test_steps_outlast_a_database_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mfserve_trainer.recording, "_AGAIN_SECONDS", 0.001)
    written: list[Progress] = []
    refusals = iter(range(3))
    recorded = asyncio.Event()
    loop = asyncio.get_running_loop()

    def write(steps: Sequence[Progress]) -> None:
        if next(refusals, None) is not None:
            raise Unavailable("Not now.")
        written.extend(steps)
        loop.call_soon_threadsafe(recorded.set)

    with capture_logs() as logs:
        async with recording(write, Contact()) as record:
            record(step(1))
            await recorded.wait()
            record(step(2))
    assert written == [step(1), step(2)]
    # However often it was asked in vain.
    assert [entry["event"] for entry in logs] == [
        "the registry does not answer",
        "the registry answers again",
    ]


async def test_the_end_does_not_wait_for_a_database_that_never_answers() -> None:
    def write(steps: Sequence[Progress]) -> None:
        raise Unavailable("Never.")

    with pytest.raises(Unavailable):
        async with recording(write, Contact()) as record:
            record(step(1))


async def test_a_database_that_never_answers_does_not_hide_what_broke_the_training_off() -> None:
    def write(steps: Sequence[Progress]) -> None:
        raise Unavailable("The same disk is full.")

    async def break_off() -> None:
        async with recording(write, Contact()) as record:
            record(step(1))
            raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space left"):
        await break_off()


async def test_a_lost_lease_comes_out_at_the_end() -> None:
    def write(steps: Sequence[Progress]) -> None:
        raise LeaseLost("Lost.")

    async def record_two() -> None:
        async with recording(write, Contact()) as record:
            record(step(1))
            record(step(2))

    with pytest.raises(LeaseLost):
        await record_two()
