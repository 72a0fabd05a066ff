"""UploadDataset, up to the Parquet file that a training reads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pyarrow.parquet as pq
import pytest

from mfserve.v1 import training_service_pb2 as pb
from mfserve_registry import Registry
from tests.server.calls import Server, eventually, failure
from tests.server.conftest import MakeServer


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


def left_behind(home: Path) -> list[Path]:
    return [path for path in (home / "uploads").rglob("*") if path.is_file()]


async def test_an_upload_is_kept_as_it_was_sent(server: Server, registry: Registry) -> None:
    full: dict[str, Any] = {"timestamps": [5, 6], "titles": ["Été", ""]}
    response = await server.trainings.UploadDataset(
        iter([header(has_timestamps=True, has_titles=True), batch(**full), batch(["u3", "u4"], **full)])
    )
    table = pq.read_table(registry.uploads.path(response.upload_id))
    assert response.rows == len(table) == 4
    assert table.column("user_id").to_pylist() == ["u1", "u2", "u3", "u4"]
    assert table.column("title").to_pylist() == ["Été", ""] * 2
    assert response.size_bytes == registry.uploads.path(response.upload_id).stat().st_size
    train = pb.TrainRequest(
        model="movies",
        dataset=pb.Dataset(upload=pb.UploadedDataset(upload_id=response.upload_id)),
        request_id="train-1",
    )
    assert (await server.trainings.Train(train)).job.dataset.upload.upload_id == response.upload_id


async def test_the_same_rows_again_are_the_same_upload_and_others_are_refused(server: Server) -> None:
    first = await server.trainings.UploadDataset(iter([header(), batch()]))
    again = await server.trainings.UploadDataset(
        iter([header(), batch(["u1"]), batch(["u2"], item_ids=["i1"], ratings=[1])])
    )
    assert again.upload_id == first.upload_id
    found = await failure(server.trainings.UploadDataset(iter([header(), batch(["other"])])))
    assert (found.code, found.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


@pytest.mark.parametrize(
    ("messages", "reason", "field"),
    [
        ([], "STREAM_OUT_OF_ORDER", "header"),
        ([batch()], "STREAM_OUT_OF_ORDER", "header"),
        ([pb.UploadDatasetRequest()], "STREAM_OUT_OF_ORDER", "header"),
        ([header(), header()], "STREAM_OUT_OF_ORDER", "batch"),
        ([header(), batch(), pb.UploadDatasetRequest()], "STREAM_OUT_OF_ORDER", "batch"),
        ([header(request_id="")], "INVALID_FIELD", "header.request_id"),
        ([header()], "INVALID_FIELD", "batch"),
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
    assert left_behind(home) == []


async def test_a_caller_who_hangs_up_leaves_nothing(server: Server, home: Path) -> None:
    sent = asyncio.Event()

    async def messages() -> AsyncIterator[pb.UploadDatasetRequest]:
        yield header()
        yield batch()
        sent.set()
        await asyncio.Event().wait()

    async def something_is_there() -> bool:
        return left_behind(home) != []

    async def nothing_is_there() -> bool:
        return left_behind(home) == []

    call = server.trainings.UploadDataset(messages())
    await sent.wait()
    await eventually(something_is_there)
    call.cancel()
    await eventually(nothing_is_there)


async def test_what_is_not_a_number_is_for_the_training_to_judge(server: Server) -> None:
    messages: Iterator[pb.UploadDatasetRequest] = iter([header(), batch(ratings=[float("nan"), 1.0])])
    assert (await server.trainings.UploadDataset(messages)).rows == 2
