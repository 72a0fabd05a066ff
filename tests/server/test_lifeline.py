"""What a server process and its parent know of each other."""

from __future__ import annotations

import asyncio
from socket import socketpair

import pytest

from mfserve_server import lifeline as module
from mfserve_server.lifeline import lifeline


async def test_the_parent_hears_that_the_loop_goes_round_and_what_it_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BEAT_SECONDS", 0.01)
    ours, theirs = socketpair()
    alone = asyncio.Event()
    reader, writer = await asyncio.open_unix_connection(sock=ours)
    async with lifeline(theirs, alone.set) as tell:
        assert [await reader.readline() for _ in range(2)] == [b"{}\n"] * 2
        tell(serving=True)
        while (line := await reader.readline()) == b"{}\n":
            pass
        assert line == b'{"serving": true}\n'
        assert not alone.is_set()
        writer.close()
        await alone.wait()
