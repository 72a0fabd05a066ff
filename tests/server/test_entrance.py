"""What callers who are known pass, on a real server with made-up answers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from mfserve.v1 import training_service_pb2 as pb
from mfserve.v1.training_service_pb2_grpc import TrainingServiceStub
from mfserve_server.admission import gates
from mfserve_server.admission.gates import Gates
from mfserve_server.entrance import Entrance
from mfserve_server.handlers import register
from mfserve_server.metrics.page import Page
from mfserve_server.security.guard import Guard
from mfserve_server.settings import Settings
from tests.server.calls import DEADLINE, told

SERVICE = pb.DESCRIPTOR.services_by_name["TrainingService"]
TOKEN = "secret"
CALLER = f"""
[[callers]]
name = "learner"
token_sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
scopes = ["train"]
models = ["movies"]
"""


class Registry:
    """Knows the models of jobs: movies, of each of them."""

    def __init__(self) -> None:
        self.answers = asyncio.Event()
        self.asked: list[str] = []

    async def model_of_job(self, job_id: str) -> str:
        self.asked.append(job_id)
        await self.answers.wait()
        return "movies"


class Servicer:
    """Has every job."""

    async def GetTrainingJob(self, request: pb.GetTrainingJobRequest) -> pb.GetTrainingJobResponse:  # noqa: N802
        return pb.GetTrainingJobResponse()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Methods that no test calls."""
        return self.GetTrainingJob


@pytest.fixture
async def registry() -> Registry:
    return Registry()


@pytest.fixture
async def stub(registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Of a server with one place for calls that manage, and one for who waits for it."""
    monkeypatch.setattr(gates, "MANAGED", 1)
    callers = tmp_path / "callers.toml"
    callers.write_text(CALLER)
    page = Page()
    entrance = Entrance(Gates(Settings(), page), Guard(callers, registry.model_of_job), None, 600.0, page)
    server = grpc.aio.server()
    register(server, SERVICE, Servicer(), entrance)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield TrainingServiceStub(channel)
    await server.stop(None)


async def outcome(stub: Any, job_id: str) -> str:
    """How a call ends: by the reason of its error, or OK."""
    metadata = (("authorization", f"Bearer {TOKEN}"),)
    try:
        await stub.GetTrainingJob(
            pb.GetTrainingJobRequest(job_id=job_id), timeout=DEADLINE, metadata=metadata
        )
    except grpc.aio.AioRpcError as error:
        return told(error).reason
    return "OK"


async def test_whose_model_has_to_be_looked_up_has_a_place_first(stub: Any, registry: Registry) -> None:
    calls = [asyncio.ensure_future(outcome(stub, f"job {number}")) for number in range(3)]
    done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    assert [call.result() for call in done] == ["OVERLOADED"]
    assert len(registry.asked) == 1
    registry.answers.set()
    assert sorted(await asyncio.gather(*calls)) == ["OK", "OK", "OVERLOADED"]
