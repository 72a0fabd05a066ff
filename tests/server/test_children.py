from __future__ import annotations

import asyncio

import pytest
from structlog.testing import capture_logs

from mfserve_server.children import STARTS, Child, NeverReady


async def test_a_program_that_cannot_be_started_is_a_death_like_others() -> None:
    orders: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    with capture_logs() as logs, pytest.raises(NeverReady, match="No such file"):
        await Child("worker 0", ["/no/such/program"], {}, orders).keep()
    assert len(logs) == STARTS - 1
    assert {log["code"] for log in logs} == {"No such file or directory"}
