"""What wraps every method, on a real server that has only this: a service of our own protos with made-up answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from structlog.testing import capture_logs

from mfserve.v1 import error_reason_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from mfserve_registry import errors
from mfserve_server.admission.gates import Gates
from mfserve_server.entrance import Entrance
from mfserve_server.errors import InvalidFields, Violation, under
from mfserve_server.handlers import register
from mfserve_server.metrics.page import Page
from mfserve_server.settings import Settings
from tests.server.calls import failure, told
from tests.waiting import until

SERVICE = pb.DESCRIPTOR.services_by_name["RecommendationService"]
UNDECODABLE = [b"\x08", b"\xff" * 9, b"\x12\x02\xff\xff"]
"""A field without its value; a varint without end; a string that is not UTF-8."""


@pytest.fixture
async def entrance() -> Entrance:
    """Open to everybody."""
    page = Page()
    return Entrance(Gates(Settings(), page), None, None, 600.0, page)


class Servicer:
    """Raises ``error`` everywhere, or waits for ever where there is none."""

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self.entered = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def _answer(self) -> Any:
        self.entered.set()
        if self.error is not None:
            raise self.error
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            if self.error is not None:
                raise self.error from None
            raise

    async def Recommend(self, request: pb.RecommendRequest) -> Any:  # noqa: N802
        return await self._answer()

    async def PredictRating(self, request: pb.PredictRatingRequest) -> pb.PredictRatingResponse:  # noqa: N802
        return pb.PredictRatingResponse(rating=len(request.user_id))

    BatchPredictRatings = FindSimilarItems = Recommend

    async def StreamRecommend(  # noqa: N802
        self, requests: AsyncIterator[pb.StreamRecommendRequest]
    ) -> AsyncIterator[pb.StreamRecommendResponse]:
        async for request in requests:
            yield pb.StreamRecommendResponse(batch=pb.RecommendationBatch(batch_id=request.batch.batch_id))
        await self._answer()


@pytest.fixture
async def servicer() -> Servicer:
    return Servicer()


@pytest.fixture
async def channel(servicer: Servicer, entrance: Entrance) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    register(server, SERVICE, servicer, entrance)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as opened:
        yield opened
    await server.stop(None)


@pytest.fixture
def stub(channel: grpc.aio.Channel) -> Any:
    return RecommendationServiceStub(channel)


CODES = [
    (errors.InvalidArgument("no", reason="PAGE_TOKEN_INVALID"), "INVALID_ARGUMENT", "PAGE_TOKEN_INVALID"),
    (errors.InvalidArgument("no"), "INVALID_ARGUMENT", "INVALID_FIELD"),
    (errors.NotFound("no", reason="MODEL_NOT_FOUND"), "NOT_FOUND", "MODEL_NOT_FOUND"),
    (errors.AlreadyExists("no"), "ALREADY_EXISTS", "REQUEST_ID_REUSED"),
    (errors.FailedPrecondition("no", reason="JOB_FINISHED"), "FAILED_PRECONDITION", "JOB_FINISHED"),
    (errors.Aborted("no"), "ABORTED", "REVISION_MISMATCH"),
    (errors.PermissionDenied("no"), "PERMISSION_DENIED", "PATH_NOT_ALLOWED"),
    (errors.ResourceExhausted("no"), "RESOURCE_EXHAUSTED", "UPLOAD_TOO_LARGE"),
    (errors.DamagedSnapshot("no"), "UNAVAILABLE", "SNAPSHOT_DAMAGED"),
    (errors.DamagedSnapshot("no", reason="SNAPSHOT_TOO_NEW"), "UNAVAILABLE", "SNAPSHOT_TOO_NEW"),
    (errors.DamagedSnapshot("no", reason="SNAPSHOT_MISSING"), "UNAVAILABLE", "SNAPSHOT_MISSING"),
    (errors.DamagedSnapshot("no", reason="ARTIFACT_DAMAGED"), "UNAVAILABLE", "ARTIFACT_DAMAGED"),
    (errors.Unavailable("no"), "UNAVAILABLE", "UNAVAILABLE"),
    (errors.Unauthenticated("no"), "UNAUTHENTICATED", "UNAUTHENTICATED"),
    (errors.Overloaded("no"), "RESOURCE_EXHAUSTED", "OVERLOADED"),
]


@pytest.mark.parametrize(("error", "code", "reason"), CODES)
async def test_each_error_of_the_registry_has_its_status(
    error: errors.RegistryError, code: str, reason: str, servicer: Servicer, stub: Any
) -> None:
    servicer.error = error
    found = await failure(stub.Recommend(pb.RecommendRequest()))
    assert (found.code.name, found.reason, found.message) == (code, reason, "no")
    may_repeat = isinstance(error, errors.Unavailable | errors.Overloaded)
    assert found.retry_seconds == (1.0 if may_repeat else None)
    assert f"ERROR_REASON_{reason}" in error_reason_pb2.ErrorReason.keys()  # noqa: SIM118 - no dict


def test_no_kind_of_error_is_forgotten() -> None:
    told_about = {type(error) for error, _, _ in CODES}
    assert (
        set(errors.RegistryError.__subclasses__()) - told_about - {errors.LeaseLost, errors.DamagedArchive}
        == set()
    )


async def test_fields_and_metadata_go_along(servicer: Servicer, stub: Any) -> None:
    error = InvalidFields([Violation("a.b", "first"), Violation("c[2]", "second")])
    error.metadata = {"key": "value"}
    servicer.error = error
    found = await failure(stub.Recommend(pb.RecommendRequest()))
    assert found.fields == ["a.b", "c[2]"]
    assert found.metadata == {"key": "value"}


async def test_long_texts_are_cut_so_that_the_status_arrives(servicer: Servicer, stub: Any) -> None:
    servicer.error = InvalidFields([Violation("x" * 5000, "é" * 5000)] * 50)
    servicer.error.metadata = {f"key{n}": "y" * 5000 for n in range(5)}
    found = await failure(stub.Recommend(pb.RecommendRequest()))
    assert found.reason == "INVALID_FIELD"
    assert found.fields


def test_the_path_of_a_part_goes_before_the_fields_of_its_errors() -> None:
    with pytest.raises(errors.InvalidArgument) as raised, under("outer"), under("inner"):
        raise errors.InvalidArgument("no", field="leaf")
    assert raised.value.field == "outer.inner.leaf"
    with pytest.raises(InvalidFields) as several, under("outer"):
        raise InvalidFields([Violation("a", ""), Violation("b", "")])
    assert [violation.field for violation in several.value.violations] == ["outer.a", "outer.b"]


@pytest.mark.parametrize(
    "error",
    [
        ValueError("the password is 1234"),
        KeyError("1234"),
        errors.LeaseLost("the password is 1234"),
        errors.NotFound("1234", reason="OF_NO_CONCERN_TO_CALLERS"),
        errors.Unavailable("1234", reason="JOB_CANCELLED"),
    ],
)
async def test_the_text_of_a_defect_is_logged_and_not_sent(
    error: Exception, servicer: Servicer, stub: Any
) -> None:
    servicer.error = error
    with capture_logs() as logs:
        found = await failure(stub.Recommend(pb.RecommendRequest()))
    assert (found.code, found.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "1234" not in found.message + str(found.metadata)
    (entry,) = [log for log in logs if log.get("error_id") == found.metadata["error_id"]]
    assert entry["exc_info"] is error
    assert entry["method"] == "mfserve.v1.RecommendationService.Recommend"


async def test_a_defect_in_a_stream_too(servicer: Servicer, stub: Any) -> None:
    servicer.error = ValueError("secret")
    found = await failure(stub.StreamRecommend(iter([])))
    assert (found.reason, "secret" in found.message) == ("INTERNAL", False)


@pytest.mark.parametrize("data", UNDECODABLE)
@pytest.mark.parametrize("method", [method.name for method in SERVICE.methods])
async def test_undecodable_bytes_are_the_callers_mistake(
    data: bytes, method: str, channel: grpc.aio.Channel
) -> None:
    path = f"/{SERVICE.full_name}/{method}"
    untyped: Any = channel
    if method == "StreamRecommend":
        found = await failure(untyped.stream_stream(path)(iter([data])))
    else:
        found = await failure(untyped.unary_unary(path)(data))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "UNDECODABLE_REQUEST")


async def test_a_caller_who_hangs_up_cancels_the_work(servicer: Servicer, stub: Any) -> None:
    call = stub.Recommend(pb.RecommendRequest())
    await asyncio.wait_for(servicer.entered.wait(), 10)
    call.cancel()
    await asyncio.wait_for(servicer.cancelled.wait(), 10)
    with pytest.raises(asyncio.CancelledError):
        await call


@pytest.mark.parametrize(
    ("error", "is_logged"),
    [(ValueError("no"), True), (errors.NotFound("no", reason="MODEL_NOT_FOUND"), False)],
)
async def test_a_defect_is_logged_also_where_the_caller_has_hung_up(
    error: Exception, is_logged: bool, servicer: Servicer, entrance: Entrance, stub: Any
) -> None:
    call = stub.Recommend(pb.RecommendRequest())
    await asyncio.wait_for(servicer.entered.wait(), 10)
    servicer.error = error
    with capture_logs() as logs:
        call.cancel()
        await asyncio.wait_for(servicer.cancelled.wait(), 10)
        await until(lambda: not entrance.gates.asking.under_way)
    assert [log["exc_info"] for log in logs] == ([error] if is_logged else [])


async def test_work_that_is_cancelled_by_itself_leaves_no_caller_without_a_status(
    servicer: Servicer, stub: Any
) -> None:
    servicer.error = asyncio.CancelledError()
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await asyncio.wait_for(_awaited(stub.Recommend(pb.RecommendRequest())), 10)
    assert told(raised.value).reason == "INTERNAL"


async def test_a_stream_is_answered_message_by_message(stub: Any) -> None:
    stream = stub.StreamRecommend()
    for number in (1, 2, 3):
        await stream.write(pb.StreamRecommendRequest(batch=pb.UserBatch(batch_id=number)))
        response = await asyncio.wait_for(stream.read(), 10)
        assert response.batch.batch_id == number
    stream.cancel()


async def test_a_unary_call_is_decoded_and_encoded(stub: Any) -> None:
    assert (await stub.PredictRating(pb.PredictRatingRequest(user_id="four"))).rating == 4


async def _awaited(call: Any) -> Any:
    return await call
