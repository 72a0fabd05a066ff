"""Calls that come shortly after one another are answered in one go, each with what it gets alone."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from mfserve_server import gathering
from mfserve_server.gathering import CALM, MOST, MOST_BYTES, Gathering
from mfserve_server.outcomes import Outcome


class Log:
    """Answers with the request's own bytes, and notes the order of what happens."""

    def __init__(self) -> None:
        self.gathering = Gathering(self.answer_each)
        self.events: list[str] = []
        self.goes: list[int] = []
        self.made = asyncio.Event()
        self.done = asyncio.Event()

    def answer_each(self, requests: Sequence[bytes]) -> list[Outcome]:
        self.goes.append(len(requests))
        return [self.answer(request) for request in requests]

    def answer(self, request: bytes) -> Outcome:
        self.events.append(f"make {request.decode()}")
        self.made.set()
        if request == b"wrong":
            return ValueError("wrong")
        return self.wait(request) if request == b"long" else request

    async def wait(self, request: bytes) -> bytes:
        await self.done.wait()
        return request

    async def call(self, name: str, after_turns: int = 0) -> bytes:
        for _ in range(after_turns):
            await asyncio.sleep(0)
        self.events.append(f"call {name}")
        reply = await self.gathering.answer(name.encode())
        self.events.append(f"told {name}")
        return reply


@pytest.fixture
def log() -> Log:
    return Log()


async def test_each_further_call_is_waited_for_and_all_are_made_before_any_is_told(log: Log) -> None:
    replies = await asyncio.gather(*(log.call(str(n), n * (CALM - 1)) for n in range(3)))
    assert replies == [b"0", b"1", b"2"]
    assert log.events == [f"{what} {n}" for what in ("call", "make", "told") for n in range(3)]


async def test_where_load_is_shed_calls_are_made_in_bunches() -> None:
    goes: list[int] = []

    def answer_each(requests: Sequence[bytes]) -> list[Outcome]:
        goes.append(len(requests))
        return list(requests)

    shedding = Gathering(answer_each, sheds=lambda: True)

    async def call(number: int) -> bytes:
        for _ in range(2 * CALM * number):
            await asyncio.sleep(0)
        return await shedding.answer(str(number).encode())

    assert await asyncio.gather(*(call(number) for number in range(3))) == [b"0", b"1", b"2"]
    calls = [str(number).encode() for number in range(MOST + 1)]
    assert await asyncio.gather(*map(shedding.answer, calls)) == calls
    assert goes == [3, MOST, 1]


async def test_a_call_waits_for_none_that_comes_later(log: Log) -> None:
    await asyncio.gather(log.call("0"), log.call("1", CALM + 1))
    assert log.events == [f"{what} {n}" for n in range(2) for what in ("call", "make", "told")]


async def test_so_many_and_no_more_are_answered_in_one_go(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "CALM", 1 << 30)  # it is never calm
    monkeypatch.setattr(gathering, "PATIENCE", 1e9)
    replies = await asyncio.gather(*(log.call(str(n)) for n in range(3 * MOST)))
    assert replies == [b"%d" % n for n in range(3 * MOST)]
    assert log.goes == [MOST, MOST, MOST]


async def test_long_requests_end_a_go(log: Log) -> None:
    long = "x" * (MOST_BYTES // 2)
    await asyncio.gather(*(log.call(long + str(n)) for n in range(5)))
    assert log.goes == [2, 2, 1]


async def test_a_call_waits_no_longer_than_so_for_others(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gathering, "CALM", 1 << 30)
    monkeypatch.setattr(gathering, "PATIENCE", 0.0)
    assert await log.call("0") == b"0"


async def test_who_has_hung_up_is_not_answered(log: Log) -> None:
    gone, left = (asyncio.create_task(log.call(name)) for name in ("gone", "left"))
    await asyncio.sleep(0)
    gone.cancel()
    assert await left == b"left"
    assert "make gone" not in log.events
    assert gone.cancelled()


async def test_an_error_is_told_to_the_one_whom_it_concerns(log: Log) -> None:
    wrong, right = await asyncio.gather(log.call("wrong"), log.call("0"), return_exceptions=True)
    assert isinstance(wrong, ValueError)
    assert right == b"0"


async def test_a_defect_is_told_to_all_that_wait(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(request: bytes) -> Outcome:
        raise RuntimeError(request.decode())

    monkeypatch.setattr(log, "answer", fail)
    told = await asyncio.gather(log.call("0"), log.call("1"), return_exceptions=True)
    assert [str(error) for error in told] == ["0", "0"]


async def test_what_takes_long_holds_up_nobody(log: Log) -> None:
    long = asyncio.create_task(log.call("long"))
    assert await log.call("0") == b"0"
    assert not long.done()
    log.done.set()
    assert await long == b"long"


async def test_who_hangs_up_before_hearing_of_it_leaves_nothing_behind(log: Log) -> None:
    """A coroutine that nobody awaits would be a warning, and so an error."""
    long = asyncio.create_task(log.call("long"))
    await log.made.wait()
    long.cancel()  # before it is its turn
    with pytest.raises(asyncio.CancelledError):
        await long
