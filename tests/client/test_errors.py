"""Every status becomes its exception, with its details, and nothing of grpc's gets through."""

from __future__ import annotations

import asyncio
import re
import threading
from datetime import timedelta
from typing import Any

import grpc
import pytest

from mfserve import errors
from mfserve._client.status import BY_CODE
from mfserve.errors import FieldViolation, MfserveError, StatusError
from tests.client.conftest import Connect, Serve
from tests.client.services import fail
from tests.client.twins import listed

CODES = [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK]


def test_every_status_has_its_exception_and_every_exception_its_status() -> None:
    leaves = [
        error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, StatusError)
    ]
    assert {code.name for code in CODES} == set(BY_CODE)
    assert set(leaves) - {StatusError} == set(BY_CODE.values())
    for code, error in BY_CODE.items():
        assert error.code == code
        assert error.__name__ == "".join(part.capitalize() for part in code.split("_")) + "Error"


def test_the_tree_at_the_top_of_the_file_is_the_tree() -> None:
    drawn: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if match := re.match(r"((?:│   |    )*)((?:[├└]── )?)(\w+Error)\b", line):
            depth = len(match[1]) // 4 + bool(match[2])
            path[depth:] = [match[3]]
            drawn[match[3]] = path[depth - 1] if depth else None
    classes = [
        error
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, MfserveError)
    ]
    parents: dict[str, str | None] = {error.__name__: error.__bases__[0].__name__ for error in classes}
    assert drawn == {**parents, "MfserveError": None}
    assert {*drawn, "FieldViolation"} == set(errors.__all__)


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
async def test_status_of_a_call(serve: Serve, connect: Connect, code: grpc.StatusCode) -> None:
    def refuse(request: Any, context: Any) -> None:
        # Not a method that is retried, so that UNAVAILABLE costs no time.
        metadata, retry = {"model": "movies"}, timedelta(seconds=1.5)
        fail(context, code, "because", reason="MODEL_NOT_FOUND", metadata=metadata, retry=retry)

    client = connect(serve(SetAlias=refuse).address)
    with pytest.raises(MfserveError) as caught:
        await client.set_alias("movies", "candidate", 1, expected_revision=0)
    assert type(caught.value) is BY_CODE[code.name]
    assert str(caught.value) == "because"
    assert caught.value.reason == "MODEL_NOT_FOUND"
    assert caught.value.metadata == {"model": "movies"}
    assert caught.value.retry_seconds == 1.5


async def test_status_of_a_stream(serve: Serve, connect: Connect) -> None:
    def refuse(request: Any, context: Any) -> None:
        fail(context, grpc.StatusCode.NOT_FOUND, "no such thing", reason="JOB_NOT_FOUND")

    client = connect(
        serve(
            GetArtifact=refuse, WatchTrainingJob=refuse, StreamRecommend=refuse, UploadDataset=refuse
        ).address
    )
    with pytest.raises(errors.NotFoundError, match="no such thing"):
        await client.get_artifact("movies", "curve.svg")
    with pytest.raises(errors.NotFoundError, match="no such thing"):
        await listed(client.watch_job("job"))
    with pytest.raises(errors.NotFoundError, match="no such thing"):
        await listed(client.stream_recommend("movies", ["1"]))
    with pytest.raises(errors.NotFoundError, match="no such thing"):
        await client.upload_dataset({"user_id": ["1"], "item_id": ["2"], "rating": [3]})


async def test_fields_that_are_wrong_are_named(serve: Serve, connect: Connect) -> None:
    def refuse(request: Any, context: Any) -> None:
        fail(
            context,
            grpc.StatusCode.INVALID_ARGUMENT,
            reason="INVALID_FIELD",
            violations=[("limit", "must be 1 to 1000"), ("model_spec.model", "is empty")],
        )

    client = connect(serve(Recommend=refuse).address)
    with pytest.raises(errors.InvalidArgumentError) as caught:
        await client.recommend("", "1", limit=0)
    assert caught.value.field_violations == (
        FieldViolation("limit", "must be 1 to 1000"),
        FieldViolation("model_spec.model", "is empty"),
    )


@pytest.mark.parametrize(
    ("message", "violations", "told"),
    [
        (
            "An id has 1 to 256 bytes.",
            [("user_id", "An id has 1 to 256 bytes.")],
            "user_id: An id has 1 to 256 bytes.",
        ),
        ("user_id is empty.", [("user_id", "is empty")], "user_id is empty."),
        ("Two are wrong.", [("a", "x"), ("b[1]", "y")], "Two are wrong. (a: x; b[1]: y)"),
        ("Wrong.", [], "Wrong."),
    ],
)
def test_the_text_of_an_error_names_its_fields(message: str, violations: Any, told: str) -> None:
    error = MfserveError(message, field_violations=[FieldViolation(*one) for one in violations])
    assert (str(error), error.message) == (told, message)


async def test_details_that_are_no_message_are_left_out(serve: Serve, connect: Connect) -> None:
    def refuse(request: Any, context: Any) -> None:
        context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff\xff"),))
        context.abort(grpc.StatusCode.ABORTED, "because")

    client = connect(serve(SetAlias=refuse).address)
    with pytest.raises(errors.AbortedError, match="because") as caught:
        await client.set_alias("movies", "candidate", 1, expected_revision=0)
    assert caught.value.reason == ""


async def test_an_unreachable_server_is_named(connect: Connect, serve: Serve) -> None:
    server = serve()
    server.stop()
    client = connect(server.address)
    with pytest.raises(errors.UnavailableError, match=f"server at {server.address} cannot be reached"):
        await client.recommend("movies", "1")


async def test_a_server_that_is_no_mfserve(connect: Connect, serve: Serve) -> None:
    with pytest.raises(errors.UnimplementedError):
        await connect(serve().address).recommend("movies", "1")


async def test_a_closed_client_says_so(connect: Connect, serve: Serve) -> None:
    client = connect(serve().address)
    await client.close()
    with pytest.raises(RuntimeError, match="closed"):
        await client.recommend("movies", "1")
    with pytest.raises(RuntimeError, match="closed"):
        await listed(client.stream_recommend("movies", ["1"]))


async def test_an_answer_that_is_too_large(serve: Serve, connect: Connect) -> None:
    from mfserve.v1 import model_service_pb2 as pb

    def send(request: Any, context: Any) -> Any:
        yield pb.GetArtifactResponse(data=bytes(65 << 20))

    with pytest.raises(errors.ResourceExhaustedError):
        await connect(serve(GetArtifact=send).address).get_artifact("movies", "huge")


async def test_a_call_that_a_server_cancels_may_work_later(serve: Serve, connect: Connect) -> None:
    """The core of gRPC cancels what reaches a server process just when it takes no more."""
    server = serve(DeleteModel=lambda request, context: context.abort(grpc.StatusCode.CANCELLED, "CANCELLED"))
    with pytest.raises(errors.UnavailableError, match=f"the server at {server.address} ended the call"):
        await connect(server.address).delete_model("movies")


def test_a_passed_deadline_is_a_timeout_error() -> None:
    error = errors.DeadlineExceededError("too late", reason="X")
    assert isinstance(error, TimeoutError)
    assert (str(error), error.reason, error.message) == ("too late", "X", "too late")


async def test_cancelling_a_task_is_asyncios_own_exception(serve: Serve) -> None:
    from mfserve import AsyncClient

    entered = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(request: Any, context: Any) -> None:
        ended = threading.Event()
        context.add_callback(ended.set)
        loop.call_soon_threadsafe(entered.set)
        ended.wait()

    async with AsyncClient(serve(Recommend=hang).address) as client:
        task = asyncio.create_task(client.recommend("movies", "1"))
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
