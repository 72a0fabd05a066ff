"""What real servers refuse when they are asked too much, and what they answer nevertheless."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from mfserve.v1 import model_service_pb2 as models_pb
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve_registry import Registry
from mfserve_scoring import Searches
from mfserve_server import scoring
from tests.server.calls import DEADLINE, Server, Told, told
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.waiting import until

SPEC = ModelSpec(model="movies")


class Scorers:
    """Searches wait here for ``open``."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()


@pytest.fixture
def scorers(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scorers]:
    """All searches of more than nothing run in the scoring thread, and wait."""
    made, step = Scorers(), Searches.step

    def slowly(searches: Searches[Any]) -> Any:
        made.reached.set()
        assert made.open.wait(60)
        return step(searches)

    monkeypatch.setattr(scoring, "_ON_LOOP", -1)
    monkeypatch.setattr(Searches, "step", slowly)
    yield made
    made.open.set()


def asks(server: Server, user: str) -> Any:
    request = pb.RecommendRequest(model_spec=SPEC, user_id=user)
    return asyncio.ensure_future(server.recommendations.Recommend(request, timeout=DEADLINE))


async def refused(server: Server, user: str) -> tuple[Told, int]:
    """What the caller is told, and gRPC in it: the milliseconds after which it is to try again."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asks(server, user)
    trailers = dict(list(caught.value.trailing_metadata()))
    return told(caught.value), int(trailers["grpc-retry-pushback-ms"])


async def test_what_is_too_much_is_refused_and_the_rest_is_answered(
    serve: MakeServer, registry: Registry, scorers: Scorers
) -> None:
    publish(registry)
    server = await serve(max_concurrent_calls=2, max_queued_calls=1)
    calls = [asks(server, f"u{number}") for number in range(3)]
    await asyncio.to_thread(scorers.reached.wait, 60)
    await until(lambda: _is_waiting(server))
    found, pushback = await refused(server, "u4")
    assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "OVERLOADED")
    assert found.retry_seconds is not None
    assert pushback == pytest.approx(found.retry_seconds * 1e3)
    # Neither health nor those who manage are refused.
    check: Any = server.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert await check(b"", timeout=DEADLINE) == b"\x08\x01"
    assert await server.models.ListModels(models_pb.ListModelsRequest(), timeout=DEADLINE)
    scorers.open.set()
    assert all(answer.recommendations for answer in await asyncio.gather(*calls))
    assert (await asks(server, "u5")).recommendations
    assert gate_of(server).under_way == 0


async def test_a_call_that_would_be_late_is_refused_before_it_is_scored(
    serve: MakeServer, registry: Registry, scorers: Scorers
) -> None:
    publish(registry)
    scorers.open.set()
    server = await serve(max_delay_seconds=50.0, max_shared_calls=2)
    assert (await asks(server, "u1")).recommendations
    loaded = server.service._catalog.held("movies")
    assert loaded is not None
    for questions in (1, 2) * 100:
        loaded.scorer.times.note(questions, 20.0)  # so long it takes
    scorers.open.clear()
    scorers.reached.clear()
    calls = [asks(server, "u2")]
    await asyncio.to_thread(scorers.reached.wait, 60)
    calls += [asks(server, "u3")]  # 20 s until its turn and 20 s then
    await until(lambda: _has_asked(server, 1))
    calls += [asks(server, "u4")]  # with the one before
    await until(lambda: _has_asked(server, 2))
    found, pushback = await refused(server, "u5")
    assert found.reason == "OVERLOADED"
    # Some 60 s, half as much more or less, and less the time that has gone by.
    assert 20_000 <= pushback <= 90_000
    scorers.open.set()
    assert all(answer.recommendations for answer in await asyncio.gather(*calls))


async def test_a_rate_is_for_the_caller_who_has_it(
    serve: MakeServer, registry: Registry, tmp_path: Path
) -> None:
    publish(registry)
    callers = tmp_path / "callers.toml"
    tokens = {"slow": "calls_per_second = 0.5", "quick": ""}
    callers.write_text(
        "".join(
            f'[[callers]]\nname = "{name}"\nscopes = ["recommend"]\n{limit}\n'
            f'token_sha256 = "{hashlib.sha256(name.encode()).hexdigest()}"\n'
            for name, limit in tokens.items()
        )
    )
    server = await serve(callers=callers)

    async def called(name: str) -> str:
        call = server.recommendations.Recommend(
            pb.RecommendRequest(model_spec=SPEC, user_id="u1"),
            timeout=DEADLINE,
            metadata=(("authorization", f"Bearer {name}"),),
        )
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return told(error).reason
        return "OK"

    assert await called("slow") == "OK"
    assert await called("slow") == "RATE_LIMITED"
    assert [await called("quick") for _ in range(5)] == ["OK"] * 5


async def opened(server: Server) -> Any:
    call = server.recommendations.StreamRecommend(timeout=DEADLINE)
    await call.write(pb.StreamRecommendRequest(config=pb.StreamRecommendConfig(model_spec=SPEC)))
    return call


async def test_a_caller_has_so_many_streams(serve: MakeServer, registry: Registry) -> None:
    publish(registry)
    server = await serve(max_streams_per_caller=2)
    streams = [await opened(server) for _ in range(2)]
    for stream in streams:
        assert (await stream.read()).HasField("started")
    # Nothing is written: grpc.aio would replace the status by one of its own if the stream ended before.
    third = server.recommendations.StreamRecommend(timeout=DEADLINE)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await third.read()
    assert told(caught.value).reason == "TOO_MANY_STREAMS"
    trailers = dict(list(await third.trailing_metadata()))
    assert trailers["grpc-retry-pushback-ms"] == "-1"
    await streams[0].done_writing()
    assert await streams[0].read() is grpc.aio.EOF
    await until(lambda: _has_streams(server, 1))
    again = await opened(server)
    assert (await again.read()).HasField("started")
    for stream in (streams[1], again):
        stream.cancel()
    await until(lambda: _has_no_stream(server))


async def test_a_stream_without_life_is_ended(serve: MakeServer, registry: Registry) -> None:
    publish(registry)
    server = await serve(stream_idle_seconds=0.2)
    stream = await opened(server)
    assert (await stream.read()).HasField("started")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    found = told(caught.value)
    assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "UNAVAILABLE")
    assert "0.2 seconds" in found.message


def gate_of(server: Server) -> Any:
    return server.service._gates.asking


async def _is_waiting(server: Server) -> bool:
    return bool(gate_of(server).waiting == 1)


async def _has_asked(server: Server, waiting: int) -> bool:
    return len(server.service._shared._waiting) == waiting


async def _has_streams(server: Server, count: int) -> bool:
    return sum(server.service._gates._streams.values()) == count


async def _has_no_stream(server: Server) -> bool:
    gates = server.service._gates
    return not gates._streams and not gates.streaming.under_way
