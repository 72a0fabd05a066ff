"""Working ahead: in order, no further than allowed, and tidy whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from mfserve_server.ahead import ahead


class Source:
    """Yields items of the sizes given; tells how many were asked for, and whether it was closed."""

    def __init__(self, *sizes: int, error: Exception | None = None) -> None:
        self.made = 0
        self.closed = False
        self._sizes = sizes
        self._error = error

    async def items(self) -> AsyncGenerator[bytes, None]:
        try:
            for size in self._sizes:
                self.made += 1
                yield bytes([self.made]) * size
                await asyncio.sleep(0)
            if self._error is not None:
                raise self._error
        finally:
            self.closed = True


async def settled() -> None:
    """Until every task has gone as far as it can: none here waits for anything outside the loop."""
    for _ in range(50):
        await asyncio.sleep(0)


@pytest.mark.parametrize("most", [1, 10, 1000])
async def test_everything_in_order(most: int) -> None:
    source = Source(*[3] * 20)
    assert [data[0] async for data in ahead(source.items(), most)] == list(range(1, 21))
    assert source.closed


async def test_only_as_far_as_the_bytes_allow() -> None:
    source = Source(4, 4, 4, 4, 100, 4, 4)
    reading = ahead(source.items(), 10)
    seen = []
    async for _ in reading:
        await settled()
        seen.append(source.made)
    # Three of 4 bytes pass 10; beside the large one, in hand or not, there is nothing more.
    assert seen == [3, 4, 5, 5, 5, 7, 7]


async def test_an_error_comes_after_what_came_before_it() -> None:
    seen = []
    source = Source(1, 1, 1, error=LookupError("no more"))
    reading = ahead(source.items(), 100)
    for _ in range(3):
        seen.append((await anext(reading))[0])
        await settled()
    with pytest.raises(LookupError, match="no more"):
        await anext(reading)
    assert seen == [1, 2, 3]
    assert source.closed


async def test_leaving_early_closes_the_source() -> None:
    source = Source(*[1] * 20)
    reading = ahead(source.items(), 5)
    await anext(reading)
    await settled()
    await reading.aclose()
    assert source.closed
    assert source.made == 5


async def test_nothing_at_all() -> None:
    assert [data async for data in ahead(Source().items(), 5)] == []
