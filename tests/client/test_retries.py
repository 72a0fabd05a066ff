"""What is repeated and what is not, deadlines, and servers that come and go."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from mfserve import AsyncClient, errors
from mfserve._client.calls import Backoff, Deadline
from mfserve._client.channel import RETRIED, channel_options
from mfserve.errors import UnavailableError
from mfserve.v1 import recommendation_service_pb2 as pb
from tests.client.conftest import Connect, Serve
from tests.client.services import METHODS, VERSION
from tests.client.test_every_rpc import CALLS

REPEATED = [name for names in RETRIED.values() for name in names]
CHANGES = {
    "SetAlias",
    "PromoteModelVersion",
    "DeleteAlias",
    "RollbackAlias",
    "DeleteModelVersion",
    "DeleteModel",
}


def hang(request: Any, context: Any) -> Any:
    ended = threading.Event()
    context.add_callback(ended.set)
    ended.wait()
    return pb.RecommendResponse()


def greet(request: Any, context: Any) -> Any:
    return pb.RecommendResponse(served_version=VERSION)


def test_the_service_config_names_methods_that_exist() -> None:
    for service, names in RETRIED.items():
        for name in names:
            assert METHODS[name].containing_service.full_name == service
            assert not METHODS[name].client_streaming
            assert not METHODS[name].server_streaming
    unary = {name for name, m in METHODS.items() if not (m.client_streaming or m.server_streaming)}
    assert unary - set(REPEATED) == CHANGES
    json.loads(dict(channel_options())["grpc.service_config"])


@pytest.mark.parametrize(
    "code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED]
)
@pytest.mark.parametrize("name", REPEATED)
async def test_what_is_safe_is_repeated(serve: Serve, name: str, code: grpc.StatusCode) -> None:
    refusals = iter([code])

    def second_time_lucky(request: Any, context: Any) -> Any:
        for refusal in refusals:
            context.abort(refusal, "later")
        return GetMessageClass(METHODS[name].output_type)()

    server = serve(**{name: second_time_lucky})
    async with AsyncClient(server.address) as client:
        await CALLS[name](client)
    assert server.calls == [name, name]


async def test_a_server_that_sheds_load_says_when_to_come_again(serve: Serve, connect: Connect) -> None:
    came: list[float] = []

    def later(request: Any, context: Any) -> Any:
        came.append(time.monotonic())
        if len(came) == 1:
            context.set_trailing_metadata((("grpc-retry-pushback-ms", "700"),))
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much")
        return greet(request, context)

    found = await connect(serve(Recommend=later).address).recommend("movies", "1")
    assert found.served_version.version == VERSION.version
    first, second = came
    assert second - first >= 0.7  # by itself gRPC waits for 0.1 s at most


async def test_or_that_it_is_no_use(serve: Serve, connect: Connect) -> None:
    def never(request: Any, context: Any) -> Any:
        context.set_trailing_metadata((("grpc-retry-pushback-ms", "-1"),))
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too much")

    server = serve(Recommend=never)
    with pytest.raises(errors.ResourceExhaustedError):
        await connect(server.address).recommend("movies", "1")
    assert server.calls == ["Recommend"]


async def test_what_its_caller_cancels_is_not_repeated(serve: Serve) -> None:
    turns = [threading.Event(), threading.Event()]
    coming = iter(turns)

    def begin(request: Any, context: Any) -> Any:
        next(coming).set()
        return hang(request, context)

    async with AsyncClient(serve(Recommend=begin).address) as client:
        call = asyncio.create_task(client.recommend("movies", "1"))
        await asyncio.to_thread(turns[0].wait)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert not await asyncio.to_thread(turns[1].wait, 0.3)


@pytest.mark.parametrize("name", sorted(CHANGES))
async def test_a_change_that_may_have_been_made_is_not_repeated(
    serve: Serve, connect: Connect, name: str
) -> None:
    server = serve(**{name: lambda request, context: context.abort(grpc.StatusCode.UNAVAILABLE, "gone")})
    with pytest.raises(UnavailableError):
        await CALLS[name](connect(server.address))
    assert server.calls == [name]


async def test_a_training_is_repeated_with_the_same_id(serve: Serve, connect: Connect) -> None:
    from mfserve.v1 import training_service_pb2 as training

    ids: list[str] = []

    def second_time_lucky(request: training.TrainRequest, context: Any) -> Any:
        ids.append(request.request_id)
        if len(ids) == 1:
            context.abort(grpc.StatusCode.UNAVAILABLE, "later")
        return training.TrainResponse()

    client = connect(serve(Train=second_time_lucky).address)
    await client.train("movies", dataset="movielens-100k")
    await client.train("movies", dataset="movielens-100k")
    await client.train("movies", dataset="movielens-100k", request_id="mine")
    first, again, other, mine = ids
    assert first == again != other
    assert mine == "mine"


@pytest.mark.parametrize(
    ("client", "call", "seconds"),
    [({}, {}, 10.0), ({"timeout": 30.0}, {}, 30.0), ({"timeout": 30.0}, {"timeout": 5.0}, 5.0)],
)
async def test_every_call_has_a_deadline(
    serve: Serve, connect: Connect, client: dict[str, float], call: dict[str, float], seconds: float
) -> None:
    left: list[float] = []

    def measure(request: Any, context: Any) -> Any:
        left.append(context.time_remaining())
        return greet(request, context)

    await connect(serve(Recommend=measure).address, **client).recommend("movies", "1", **call)
    # On its way a timeout is rounded to few digits.
    assert seconds - 4 < left[0] < seconds + 1


async def test_infinity_is_no_deadline(serve: Serve, connect: Connect) -> None:
    left: list[float | None] = []

    def measure(request: Any, context: Any) -> Any:
        left.append(context.time_remaining())
        return greet(request, context)

    await connect(serve(Recommend=measure).address).recommend("movies", "1", timeout=float("inf"))
    assert left[0] is None or left[0] > 1e6


async def test_a_passed_deadline(serve: Serve, connect: Connect) -> None:
    client = connect(serve(Recommend=hang).address)
    with pytest.raises(errors.DeadlineExceededError, match="did not answer in time"):
        await client.recommend("movies", "1", timeout=0.2)


async def test_a_server_that_restarts_is_waited_for(serve: Serve, connect: Connect) -> None:
    server = serve(Recommend=greet)
    client = connect(server.address)
    await client.recommend("movies", "1")
    await asyncio.to_thread(server.stop)
    call = asyncio.create_task(client.recommend("movies", "1"))
    # Longer than all retries of the service config together.
    await asyncio.sleep(2.5)
    assert not call.done()
    await asyncio.to_thread(server.start)
    assert (await call).served_version.version == 3


async def test_a_download_begins_again(serve: Serve, connect: Connect) -> None:
    from mfserve.v1 import model_service_pb2 as model

    artifact = model.Artifact(name="curve.svg", media_type="image/svg+xml", size_bytes=6)
    turns = iter(["break", "whole"])

    def send(request: Any, context: Any) -> Any:
        turn = next(turns)
        yield model.GetArtifactResponse(artifact=artifact, data=b"<sv")
        if turn == "break":
            context.abort(grpc.StatusCode.UNAVAILABLE, "gone")
        yield model.GetArtifactResponse(data=b"g/>")

    stored = await connect(serve(GetArtifact=send).address).get_artifact("movies", "curve.svg")
    assert stored.data == b"<svg/>"
    assert stored.artifact.media_type == "image/svg+xml"


def test_backoff_gives_up_and_recovers() -> None:
    broken = UnavailableError("gone")
    backoff = Backoff()
    waits = [backoff.after(broken) for _ in range(Backoff.ATTEMPTS)]
    assert all(0.05 <= wait <= 2.0 for wait in waits)
    assert waits[-1] > 0.9
    with pytest.raises(UnavailableError):
        backoff.after(broken)
    backoff.reset()
    assert backoff.after(broken) <= 0.1


@pytest.mark.parametrize(
    "error",
    [
        UnavailableError("damaged", reason="SNAPSHOT_DAMAGED"),
        errors.NotFoundError("no"),
        errors.InvalidArgumentError("no"),
        errors.ResourceExhaustedError("no"),
    ],
)
def test_what_will_not_change_is_not_tried_again(error: errors.MfserveError) -> None:
    with pytest.raises(type(error)):
        Backoff().after(error)


def test_nothing_is_tried_again_after_the_deadline() -> None:
    with pytest.raises(UnavailableError):
        Backoff(Deadline(0.0)).after(UnavailableError("gone"))
