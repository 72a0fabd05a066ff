"""What callers who are known pass, on a real server with made-up answers."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from structlog.testing import capture_logs

from mfserve.v1 import training_service_pb2 as pb
from mfserve.v1.training_service_pb2_grpc import TrainingServiceStub
from mfserve_server.admission import gates
from mfserve_server.admission.gates import Gates
from mfserve_server.entrance import Entrance
from mfserve_server.handlers import register
from mfserve_server.metrics.page import Page
from mfserve_server.security.access import Caller
from mfserve_server.security.guard import Guard
from mfserve_server.settings import Settings
from tests.server.calls import DEADLINE, failure, told
from tests.waiting import until

SERVICE = pb.DESCRIPTOR.services_by_name["TrainingService"]
TOKEN = "secret"
LEARNER = f"""
[[callers]]
name = "learner"
token_sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
scopes = ["train"]
models = ["movies"]
"""
AS_LEARNER: Any = {"timeout": DEADLINE, "metadata": (("authorization", f"Bearer {TOKEN}"),)}
NOBODY = ""
EXPIRED = LEARNER + "expires = 2020-01-01T00:00:00Z"
WITHOUT_SCOPE = LEARNER.replace('"train"', "")
OF_OTHER_MODELS = LEARNER.replace("movies", "songs")
OF_MORE_MODELS = LEARNER.replace('"movies"', '"movies", "songs"')


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
    """Has every job, tells its watchers its ``news``, and counts the parts of uploads that it ``got``."""

    def __init__(self) -> None:
        self.news = asyncio.Queue[pb.WatchTrainingJobResponse]()
        self.got = asyncio.Semaphore(0)

    async def GetTrainingJob(self, request: pb.GetTrainingJobRequest) -> pb.GetTrainingJobResponse:  # noqa: N802
        return pb.GetTrainingJobResponse()

    async def WatchTrainingJob(  # noqa: N802
        self, request: pb.WatchTrainingJobRequest
    ) -> AsyncIterator[pb.WatchTrainingJobResponse]:
        while True:
            yield await self.news.get()

    async def UploadDataset(self, requests: AsyncIterator[Any]) -> pb.UploadDatasetResponse:  # noqa: N802
        async for _ in requests:
            self.got.release()
        return pb.UploadDatasetResponse()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Methods that no test calls."""
        return self.GetTrainingJob


@pytest.fixture
async def registry() -> Registry:
    return Registry()


@dataclass(frozen=True)
class Callers:
    """Those whom the server knows, and their file."""

    path: Path
    guard: Guard

    def become(self, entries: str) -> None:
        self.path.write_text(entries)
        self.guard.look()


@pytest.fixture
def callers(tmp_path: Path, registry: Registry) -> Callers:
    path = tmp_path / "callers.toml"
    path.write_text(LEARNER)
    return Callers(path, Guard(path, registry.model_of_job))


@pytest.fixture
async def servicer() -> Servicer:
    return Servicer()


@pytest.fixture
async def stub(callers: Callers, servicer: Servicer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Of a server that logs all calls, with one place for those that manage, and one for who waits for it."""
    monkeypatch.setattr(gates, "MANAGED", 1)
    page = Page()
    server = grpc.aio.server()
    entrance = Entrance(Gates(Settings(), page), callers.guard, None, 600.0, page, log_share=1.0)
    register(server, SERVICE, servicer, entrance)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield TrainingServiceStub(channel)
    await server.stop(None)


async def outcome(stub: Any, job_id: str = "job") -> str:
    """How a call ends: by the reason of its error, or OK."""
    request = pb.GetTrainingJobRequest(job_id=job_id)
    try:
        await stub.GetTrainingJob(request, **AS_LEARNER)
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


@pytest.mark.parametrize(
    ("entry", "reason", "name"),
    [
        (WITHOUT_SCOPE, "SCOPE_MISSING", "learner"),
        (EXPIRED, "UNAUTHENTICATED", "learner"),
        (NOBODY, "UNAUTHENTICATED", None),
    ],
)
async def test_the_log_names_whom_it_knows_of_those_who_were_refused(
    entry: str, reason: str, name: str | None, stub: Any, callers: Callers
) -> None:
    callers.become(entry)
    with capture_logs() as logs:
        assert await outcome(stub) == reason
        await until(lambda: bool(logs))
    assert [line.get("caller") for line in logs] == [name]


async def test_the_log_names_who_began_a_call_whatever_has_become_of_them(
    stub: Any, registry: Registry, callers: Callers
) -> None:
    with capture_logs() as logs:
        call = asyncio.ensure_future(outcome(stub))
        await until(lambda: bool(registry.asked))
        callers.become(NOBODY)
        registry.answers.set()
        assert await call == "OK"
        await until(lambda: len(logs) == 2)
    assert [line["caller"] for line in logs if line["event"] == "call"] == ["learner"]


async def watches(stub: Any, servicer: Servicer, registry: Registry) -> Any:
    """A stream that has begun."""
    registry.answers.set()
    call = stub.WatchTrainingJob(pb.WatchTrainingJobRequest(job_id="job"), **AS_LEARNER)
    await goes_on(call, servicer)
    return call


async def goes_on(call: Any, servicer: Servicer) -> None:
    servicer.news.put_nowait(pb.WatchTrainingJobResponse())
    assert await call.read() == pb.WatchTrainingJobResponse()


async def ends(call: Any, servicer: Servicer) -> str:
    """Why."""
    servicer.news.put_nowait(pb.WatchTrainingJobResponse())
    return (await failure(call.read())).reason


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (NOBODY, "UNAUTHENTICATED"),
        (EXPIRED, "UNAUTHENTICATED"),
        (WITHOUT_SCOPE, "SCOPE_MISSING"),
        (OF_OTHER_MODELS, "MODEL_NOT_ALLOWED"),
    ],
)
async def test_a_stream_ends_with_its_next_answer_when_its_caller_may_do_it_no_longer(
    entry: str, reason: str, stub: Any, servicer: Servicer, registry: Registry, callers: Callers
) -> None:
    call = await watches(stub, servicer, registry)
    callers.become(OF_MORE_MODELS)
    await goes_on(call, servicer)
    callers.become(entry)
    assert await ends(call, servicer) == reason


async def test_a_stream_ends_when_its_callers_time_is_over(
    stub: Any, servicer: Servicer, registry: Registry, callers: Callers, monkeypatch: pytest.MonkeyPatch
) -> None:
    callers.become(LEARNER + "expires = 2999-01-01T00:00:00Z")
    call = await watches(stub, servicer, registry)
    monkeypatch.setattr(Caller, "is_over", True)
    assert await ends(call, servicer) == "UNAUTHENTICATED"


async def test_an_upload_ends_with_its_next_part_when_its_caller_is_withdrawn(
    stub: Any, servicer: Servicer, callers: Callers
) -> None:
    call = stub.UploadDataset(**AS_LEARNER)
    await call.write(pb.UploadDatasetRequest())
    await servicer.got.acquire()
    callers.become(NOBODY)
    await call.write(pb.UploadDatasetRequest())
    assert (await failure(call)).reason == "UNAUTHENTICATED"
    assert servicer.got.locked()
