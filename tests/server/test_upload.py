"""UploadDataset, up to the Parquet file that a training reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import grpc
import pyarrow.parquet as pq
import pytest

from mfserve.v1 import training_service_pb2 as pb
from mfserve.v1 import training_spec_pb2 as spec_pb
from mfserve.v1.training_service_pb2_grpc import TrainingServiceStub
from mfserve_registry import Registry
from tests.server.calls import Server, failure
from tests.server.conftest import MakeServer
from tests.waiting import until


def header(**fields: Any) -> pb.UploadDatasetRequest:
    return pb.UploadDatasetRequest(header=pb.UploadHeader(**({"request_id": "upload-1"} | fields)))


def batch(users: Iterable[str] = ("u1", "u2"), **columns: Any) -> pb.UploadDatasetRequest:
    users = list(users)
    whole: dict[str, Any] = {
        "user_ids": users,
        "item_ids": [f"i{n}" for n in range(len(users))],
        "ratings": [float(n) for n in range(len(users))],
    }
    return pb.UploadDatasetRequest(batch=pb.RatingBatch(**(whole | columns)))


def end(rows: int) -> pb.UploadDatasetRequest:
    return pb.UploadDatasetRequest(end=pb.UploadEnd(rows=rows))


def left_behind(home: Path) -> list[Path]:
    kinds = (home / "uploads", home / ".staging")
    return [path for kind in kinds for path in kind.rglob("*") if path.is_file()]


async def test_an_upload_is_kept_as_it_was_sent(server: Server, registry: Registry) -> None:
    full: dict[str, Any] = {"timestamps": [5, 6], "titles": ["Été", ""]}
    response = await server.trainings.UploadDataset(
        iter(
            [header(has_timestamps=True, has_titles=True), batch(**full), batch(["u3", "u4"], **full), end(4)]
        )
    )
    table = pq.read_table(registry.uploads.path(response.upload_id))
    assert response.rows == len(table) == 4
    assert table.column("user_id").to_pylist() == ["u1", "u2", "u3", "u4"]
    assert table.column("title").to_pylist() == ["Été", ""] * 2
    assert response.size_bytes == registry.uploads.path(response.upload_id).stat().st_size
    train = pb.TrainRequest(
        model="movies",
        dataset=spec_pb.Dataset(upload=spec_pb.UploadedDataset(upload_id=response.upload_id)),
        request_id="train-1",
    )
    assert (await server.trainings.Train(train)).job.dataset.upload.upload_id == response.upload_id


async def test_an_upload_without_ratings(server: Server, registry: Registry) -> None:
    plain = batch(ratings=[])
    response = await server.trainings.UploadDataset(iter([header(implicit=True), plain, end(2)]))
    table = pq.read_table(registry.uploads.path(response.upload_id))
    assert table.column_names == ["user_id", "item_id"]
    for announced, sent in ((True, batch()), (False, plain)):
        call = server.trainings.UploadDataset(
            iter([header(request_id="other", implicit=announced), sent, end(2)])
        )
        refused = await failure(call)
        assert (refused.code, refused.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ["batch.ratings"])


async def test_the_same_rows_again_are_the_same_upload_and_others_are_refused(server: Server) -> None:
    first = await server.trainings.UploadDataset(iter([header(), batch(), end(2)]))
    again = await server.trainings.UploadDataset(
        iter([header(), batch(["u1"]), batch(["u2"], item_ids=["i1"], ratings=[1]), end(2)])
    )
    assert again.upload_id == first.upload_id
    found = await failure(server.trainings.UploadDataset(iter([header(), batch(["other"]), end(1)])))
    assert (found.code, found.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_the_hash_is_one_of_the_rows_and_not_of_their_batches(server: Server) -> None:
    async def sha256(request_id: str, *batches: pb.UploadDatasetRequest) -> str:
        rows = sum(len(message.batch.user_ids) for message in batches)
        messages = iter([header(request_id=request_id), *batches, end(rows)])
        digest: str = (await server.trainings.UploadDataset(messages)).sha256
        return digest

    whole = await sha256("whole", batch())
    assert whole == await sha256("cut", batch(["u1"]), batch(["u2"], item_ids=["i1"], ratings=[1]))
    assert whole != await sha256("turned", batch(["u2"], item_ids=["i1"], ratings=[1]), batch(["u1"]))
    assert whole != await sha256("others", batch(["u1", "u3"]))


@pytest.mark.parametrize(
    ("messages", "reason", "field"),
    [
        ([], "STREAM_OUT_OF_ORDER", "header"),
        ([batch()], "STREAM_OUT_OF_ORDER", "header"),
        ([pb.UploadDatasetRequest()], "STREAM_OUT_OF_ORDER", "header"),
        ([header(), header()], "STREAM_OUT_OF_ORDER", "batch"),
        ([header(), batch(), pb.UploadDatasetRequest()], "STREAM_OUT_OF_ORDER", "batch"),
        ([end(0)], "STREAM_OUT_OF_ORDER", "header"),
        ([header(), batch(), end(2), batch()], "STREAM_OUT_OF_ORDER", "batch"),
        ([header(), batch(), end(2), end(2)], "STREAM_OUT_OF_ORDER", "end"),
        ([header()], "UPLOAD_INCOMPLETE", "end"),
        ([header(), batch()], "UPLOAD_INCOMPLETE", "end"),
        ([header(), batch(), end(1)], "UPLOAD_INCOMPLETE", "end.rows"),
        ([header(), batch(), batch(), end(3)], "UPLOAD_INCOMPLETE", "end.rows"),
        ([header(), batch(), end(-2)], "UPLOAD_INCOMPLETE", "end.rows"),
        ([header(), end(2)], "UPLOAD_INCOMPLETE", "end.rows"),
        ([header(), end(0)], "UPLOAD_EMPTY", "batch"),
        ([header(request_id="")], "INVALID_FIELD", "header.request_id"),
        ([header(), batch([])], "INVALID_FIELD", "batch.user_ids"),
        ([header(), batch(["u"] * 100_001)], "INVALID_FIELD", "batch.user_ids"),
        ([header(), batch(item_ids=["i1"])], "INVALID_FIELD", "batch.item_ids"),
        ([header(), batch(ratings=[1, 2, 3])], "INVALID_FIELD", "batch.ratings"),
        ([header(), batch(timestamps=[1, 2])], "INVALID_FIELD", "batch.timestamps"),
        ([header(has_timestamps=True), batch()], "INVALID_FIELD", "batch.timestamps"),
        ([header(has_titles=True), batch(titles=["only one"])], "INVALID_FIELD", "batch.titles"),
    ],
)
async def test_a_bad_upload_is_refused_and_leaves_nothing(
    messages: list[pb.UploadDatasetRequest], reason: str, field: str, server: Server, home: Path
) -> None:
    found = await failure(server.trainings.UploadDataset(iter(messages)))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert found.fields == [field]
    assert left_behind(home) == []


async def test_an_upload_over_the_limit_is_refused_and_leaves_nothing(serve: MakeServer, home: Path) -> None:
    server = await serve(max_upload_bytes=1000)
    found = await failure(server.trainings.UploadDataset(iter([header(), *[batch()] * 100])))
    assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "UPLOAD_TOO_LARGE")
    assert int(found.metadata["max_bytes"]) == 1000
    assert left_behind(home) == []


async def test_a_caller_who_hangs_up_leaves_nothing(server: Server, home: Path) -> None:
    sent = asyncio.Event()

    async def messages() -> AsyncIterator[pb.UploadDatasetRequest]:
        yield header()
        yield batch()
        sent.set()
        await asyncio.Event().wait()

    call = server.trainings.UploadDataset(messages())
    await sent.wait()
    await until(lambda: left_behind(home) != [])
    call.cancel()
    await until(lambda: left_behind(home) == [])


async def test_what_breaks_off_is_never_taken_for_a_whole_upload(server: Server, home: Path) -> None:
    # Of a call that is cancelled while its stream ends, grpc passes on now and then the end before the cancellation.
    before: set[Path] = set()

    def it_has_begun() -> bool:
        return not before.issuperset(left_behind(home))

    with grpc.insecure_channel(server.address) as channel:
        blocking: Any = TrainingServiceStub(channel)
        for attempt in range(200):
            messages: SimpleQueue[pb.UploadDatasetRequest | None] = SimpleQueue()
            for message in (header(request_id=f"upload-{attempt}"), batch(), batch()):
                messages.put(message)
            before = set(left_behind(home))
            call = blocking.UploadDataset.future(iter(messages.get, None))
            await until(it_has_begun)
            call.cancel()
            messages.put(None)
        await server.service.stop()  # waits for the calls under way
    assert left_behind(home) == []


async def test_what_is_not_a_number_is_for_the_training_to_judge(server: Server) -> None:
    messages: Iterator[pb.UploadDatasetRequest] = iter([header(), batch(ratings=[float("nan"), 1.0]), end(2)])
    assert (await server.trainings.UploadDataset(messages)).rows == 2
