"""Places and the queue before them, by themselves."""

from __future__ import annotations

import asyncio
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfserve_registry.errors import Overloaded
from mfserve_server.admission.gate import Gate


async def entered(gate: Gate) -> None:
    if (turn := gate.enter()) is not None:
        await turn


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@given(
    places=st.integers(1, 3),
    queue=st.integers(0, 3),
    steps=st.lists(st.tuples(st.sampled_from(["enter", "leave", "hang up"]), st.integers(0, 9)), max_size=40),
)
def test_places_and_queue_are_bounded_and_first_come_is_first_served(
    places: int, queue: int, steps: list[tuple[str, int]]
) -> None:
    async def run() -> None:
        gate = Gate("asking", "calls", places, queue, 60.0)
        inside = 0
        waiting: deque[asyncio.Task[None]] = deque()
        for step, which in steps:
            if step == "enter":
                task = asyncio.create_task(entered(gate))
                await settle()
                if inside < places:
                    assert task.done()
                    await task
                    inside += 1
                elif len(waiting) < queue:
                    assert not task.done()
                    waiting.append(task)
                else:
                    with pytest.raises(Overloaded):
                        await task
            elif step == "leave" and inside:
                gate.leave()
                await settle()
                if waiting:
                    await waiting.popleft()
                else:
                    inside -= 1
            elif step == "hang up" and waiting:
                gone = waiting[which % len(waiting)]
                waiting.remove(gone)
                gone.cancel()
                await settle()
                assert gone.cancelled()
            assert (gate.under_way, gate.waiting) == (inside, len(waiting))
            assert not any(task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for _ in range(inside):
            gate.leave()
        assert (gate.under_way, gate.waiting) == (0, 0)

    asyncio.run(run())


async def test_who_has_waited_long_enough_is_refused_and_takes_no_place() -> None:
    gate = Gate("asking", "calls", 1, 1, 0.01)
    await entered(gate)
    with pytest.raises(Overloaded) as caught:
        await entered(gate)
    assert caught.value.retry_seconds > 0
    assert gate.waiting == 0
    gate.leave()
    assert gate.under_way == 0


async def test_who_hangs_up_as_its_turn_comes_passes_the_place_on() -> None:
    gate = Gate("asking", "calls", 1, 2, 60.0)
    await entered(gate)
    first, second = (asyncio.create_task(entered(gate)) for _ in range(2))
    await settle()
    gate.leave()
    first.cancel()
    await second
    assert first.cancelled() or first.cancelling()
    assert (gate.under_way, gate.waiting) == (1, 0)
