"""Columns of every kind arrive as the same rows, and half an upload is none."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import grpc
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from mfserve import errors
from mfserve._client.columns import BATCH_ROWS, ColumnNames, messages
from mfserve.types import Upload
from mfserve.v1 import training_service_pb2 as pb
from tests.client.conftest import Connect, Serve
from tests.client.services import Served, fail

NAMES = ColumnNames("user_id", "item_id", "rating", "time", "title")
PLAIN: dict[str, list[Any]] = {
    "user_id": ["196", "186", "22"],
    "item_id": [242, 302, 377],
    "rating": [3.0, 3.5, 1.0],
    "time": [881250949, 891717742, 878887116],
    "title": ["Kolya (1996)", "L.A. Confidential (1997)", ""],
}
TIMES = [datetime.fromtimestamp(seconds, UTC) for seconds in PLAIN["time"]]


class Store:
    """An UploadDataset that keeps what arrived whole."""

    def __init__(self) -> None:
        self.headers: list[pb.UploadHeader] = []
        self.rows: list[tuple[Any, ...]] = []
        self.sizes: list[int] = []
        self.committed = 0
        self.broken_off = 0

    def __call__(self, requests: Iterator[pb.UploadDatasetRequest], context: Any) -> pb.UploadDatasetResponse:
        self.headers.append(next(requests).header)
        header = self.headers[-1]
        rows: list[tuple[Any, ...]] = []
        for request in requests:
            if request.HasField("end"):
                assert request.end.rows == len(rows)
                assert next(requests, None) is None
                break
            batch = request.batch
            columns: list[Any] = [batch.user_ids, batch.item_ids]
            assert bool(batch.ratings) != header.implicit
            columns += [batch.ratings] * (not header.implicit)
            columns += [batch.timestamps] * header.has_timestamps + [batch.titles] * header.has_titles
            rows += zip(*columns, strict=True)
            self.sizes.append(len(batch.user_ids))
        else:
            self.broken_off += 1
            fail(
                context, grpc.StatusCode.INVALID_ARGUMENT, "the upload broke off", reason="UPLOAD_INCOMPLETE"
            )
        self.rows = rows
        self.committed += 1
        return pb.UploadDatasetResponse(upload_id="up", rows=len(rows), size_bytes=1, sha256="e" * 64)


EXPECTED = [
    ("196", "242", 3.0, 881250949, "Kolya (1996)"),
    ("186", "302", 3.5, 891717742, "L.A. Confidential (1997)"),
    ("22", "377", 1.0, 878887116, ""),
]


def frame() -> pd.DataFrame:
    # An index of its own, so that rows must be taken by position.
    return pd.DataFrame(PLAIN, index=[10, 11, 1])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(PLAIN, id="lists"),
        pytest.param({name: tuple(values) for name, values in PLAIN.items()}, id="tuples"),
        pytest.param({name: np.array(values) for name, values in PLAIN.items()}, id="arrays"),
        pytest.param(frame(), id="frame"),
        pytest.param(frame().astype({"user_id": "category", "item_id": "Int64"}), id="frame of categories"),
        pytest.param(frame().assign(time=pd.to_datetime(TIMES)), id="frame with times"),
        pytest.param(
            frame().assign(time=pd.to_datetime(TIMES).tz_localize(None)), id="frame with times without a zone"
        ),
        pytest.param(frame().assign(item_id=[242.0, 302.0, 377.0]), id="frame of floats"),
        pytest.param(pa.table(PLAIN), id="Arrow table"),
        pytest.param(pa.table({**PLAIN, "time": TIMES}), id="Arrow table with times"),
        pytest.param(
            {**PLAIN, "time": np.array(PLAIN["time"], "datetime64[s]").astype("datetime64[ns]")},
            id="array of times",
        ),
    ],
)
async def test_columns_of_every_kind(serve: Serve, connect: Connect, data: Any) -> None:
    store = Store()
    upload = await connect(serve(UploadDataset=store).address).upload_dataset(
        data, timestamp_column="time", title_column="title"
    )
    assert upload == Upload("up", 3, 1, "e" * 64)
    assert store.rows == EXPECTED
    assert store.headers[0].has_timestamps
    assert store.headers[0].has_titles


@pytest.mark.parametrize("data", [frame(), frame().drop(columns="rating")], ids=["ignored", "absent"])
async def test_data_without_ratings(serve: Serve, connect: Connect, data: Any) -> None:
    store, trainings = Store(), list[pb.TrainRequest]()

    def train(request: pb.TrainRequest, context: Any) -> pb.TrainResponse:
        trainings.append(request)
        return pb.TrainResponse()

    client = connect(serve(UploadDataset=store, Train=train).address)
    await client.upload_dataset(data, implicit=True)
    assert store.rows == [row[:2] for row in EXPECTED]
    await client.train("movies", dataset=data, implicit=True)
    assert store.rows == [row[:2] for row in EXPECTED]
    assert [header.implicit for header in store.headers] == [True, True]
    assert trainings[0].dataset.implicit


async def test_a_frame_is_trained_on(serve: Serve, connect: Connect) -> None:
    store, trainings = Store(), list[pb.TrainRequest]()

    def train(request: pb.TrainRequest, context: Any) -> pb.TrainResponse:
        trainings.append(request)
        return pb.TrainResponse()

    data = frame().rename(columns={"user_id": "who", "item_id": "what", "rating": "stars"})
    client = connect(serve(UploadDataset=store, Train=train).address)
    await client.train(
        "movies",
        dataset=data,
        user_column="who",
        item_column="what",
        rating_column="stars",
        request_id="once",
    )
    assert [row[:3] for row in store.rows] == [row[:3] for row in EXPECTED]
    assert not store.headers[0].has_timestamps
    # The same id for both, so that the whole may be called again.
    assert store.headers[0].request_id == trainings[0].request_id == "once"
    assert trainings[0].dataset.upload.upload_id == "up"


async def test_many_rows_come_in_batches_and_in_order(serve: Serve, connect: Connect) -> None:
    store = Store()
    count = 2 * BATCH_ROWS + 1
    data = {"user_id": np.arange(count), "item_id": np.arange(count), "rating": np.ones(count)}
    await connect(serve(UploadDataset=store).address).upload_dataset(data)
    assert store.sizes == [BATCH_ROWS, BATCH_ROWS, 1]
    assert [row[0] for row in store.rows] == [str(n) for n in range(count)]


def converted(**columns: Any) -> pb.RatingBatch:
    data = {"user_id": ["1"], "item_id": ["2"], "rating": [3.0]} | columns
    names = ColumnNames(
        "user_id",
        "item_id",
        "rating",
        "time" if "time" in data else None,
        "title" if "title" in data else None,
    )
    return next(messages(data, names)).batch


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA, pd.NaT])
def test_what_is_missing_is_left_to_the_training(missing: Any) -> None:
    batch = converted(user_id=[missing], item_id=[missing], rating=[missing], title=[missing])
    assert (batch.user_ids[0], batch.item_ids[0], batch.titles[0]) == ("", "", "")
    assert math.isnan(batch.ratings[0])


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        (
            {"user_id": [1.5]},
            TypeError,
            "column 'user_id', row 0: an id is a text or a whole number, not 1.5",
        ),
        ({"item_id": [True]}, TypeError, "column 'item_id', row 0"),
        (
            {"item_id": ["a\udc80"]},
            ValueError,
            r"column 'item_id', row 0: it must be text in UTF-8, not 'a\\udc80': its character 1",
        ),
        ({"title": ["\udc80"]}, ValueError, "column 'title', row 0: it must be text in UTF-8"),
        ({"rating": ["good"]}, ValueError, "column 'rating', row 0: could not convert"),
        ({"time": [None]}, ValueError, "column 'time', row 0: the time is missing"),
        ({"rating": [1.0, 2.0]}, ValueError, "unequal length"),
    ],
)
def test_what_cannot_be_sent_is_named(columns: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        converted(**columns)


@pytest.mark.parametrize("data", [PLAIN, frame(), pa.table(PLAIN)], ids=["mapping", "frame", "table"])
def test_a_column_that_is_not_there(data: Any) -> None:
    with pytest.raises(ValueError, match=r"no column 'stars' in the data set; it has .*'rating'"):
        next(messages(data, NAMES._replace(rating="stars")))


async def test_half_an_upload_is_none(serve: Serve, connect: Connect) -> None:
    # The last row is bad: by then the first batches are on their way.
    store = Store()
    count = 3 * BATCH_ROWS
    ratings: list[Any] = [1.0] * count
    ratings[-1] = "good"
    data = {"user_id": range(count), "item_id": range(count), "rating": ratings}
    server: Served = serve(UploadDataset=store)
    with pytest.raises(ValueError, match=f"row {count - 1}"):
        await connect(server.address).upload_dataset(data)
    server.stop()  # waits for the method to end
    assert store.committed == 0


async def test_the_end_says_how_many_rows_were_sent() -> None:
    count = BATCH_ROWS + 1
    data = {"user_id": range(count), "item_id": range(count), "rating": [1.0] * count}
    sent = list(messages(data, NAMES._replace(timestamp=None, title=None)))
    assert [message.WhichOneof("message") for message in sent] == ["batch", "batch", "end"]
    assert sent[-1].end.rows == count


async def test_an_upload_is_sent_again_with_the_same_id(serve: Serve, connect: Connect) -> None:
    store = Store()
    refusals = iter([1])
    ids: list[str] = []

    def second_time_lucky(requests: Iterator[pb.UploadDatasetRequest], context: Any) -> Any:
        if next(refusals, None):
            ids.append(next(requests).header.request_id)
            fail(context, grpc.StatusCode.UNAVAILABLE)
        return store(requests, context)

    await connect(serve(UploadDataset=second_time_lucky).address).upload_dataset(PLAIN)
    assert len(store.rows) == 3
    assert store.headers[0].request_id == ids[0]


async def test_the_reason_of_a_refusal_in_mid_upload(serve: Serve, connect: Connect) -> None:
    def refuse(requests: Iterator[pb.UploadDatasetRequest], context: Any) -> None:
        next(requests)
        next(requests)
        fail(context, grpc.StatusCode.RESOURCE_EXHAUSTED, "over 1 GiB", reason="UPLOAD_TOO_LARGE")

    server = serve(UploadDataset=refuse)
    count = 40 * BATCH_ROWS
    data = {"user_id": range(count), "item_id": range(count), "rating": np.ones(count)}
    with pytest.raises(errors.ResourceExhaustedError, match="over 1 GiB") as caught:
        await connect(server.address).upload_dataset(data)
    assert caught.value.reason == "UPLOAD_TOO_LARGE"
    assert server.calls == ["UploadDataset"]
