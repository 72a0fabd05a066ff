"""Servers that stay connected and say nothing more, and clients that are closed under a call."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mfserve import errors
from mfserve._client import aio_transport, sync_transport
from mfserve.v1 import recommendation_service_pb2
from mfserve.v1 import training_service_pb2 as pb
from tests.client.conftest import Connect, Serve
from tests.client.services import answers, recommend_to_all, started
from tests.client.test_training import SUCCEEDED, epoch, job
from tests.client.twins import listed


def hang(context: Any) -> None:
    """Until the caller is gone."""
    ended = threading.Event()
    if context.add_callback(ended.set):
        ended.wait()


@pytest.fixture
def short_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sync_transport, aio_transport):
        monkeypatch.setattr(module, "WATCH_SECONDS", 0.3)
        monkeypatch.setattr(module, "BULK_SECONDS", 0.3)


@pytest.mark.usefixtures("short_connections")
async def test_a_watch_leaves_a_server_that_hangs(serve: Serve, connect: Connect) -> None:
    def behaviour(request: pb.WatchTrainingJobRequest, context: Any) -> Iterator[Any]:
        if request.after_sequence < 2:
            running = job(pb.TRAINING_JOB_STATE_RUNNING)
            yield pb.WatchTrainingJobResponse(job=running, progress=[epoch(request.after_sequence + 1)])
            hang(context)
        yield pb.WatchTrainingJobResponse(job=SUCCEEDED, progress=[epoch(3)])

    updates = await listed(connect(serve(WatchTrainingJob=behaviour).address).watch_job("j1"))
    assert [p.sequence for update in updates for p in update.progress] == [1, 2, 3]


@pytest.mark.usefixtures("short_connections")
async def test_a_bulk_stream_leaves_a_server_that_hangs(serve: Serve, connect: Connect) -> None:
    turns = iter([1, 2])

    def behaviour(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        if next(turns, None) is None:
            yield from recommend_to_all(requests, context)
            return
        next(requests)
        yield started()
        yield answers(next(requests).batch)
        hang(context)

    server = serve(StreamRecommend=behaviour)
    users = [str(n) for n in range(40)]
    rows = await listed(connect(server.address).stream_recommend("movies", users, batch_size=4))
    assert [row.user_id for row in rows] == users
    assert len(server.calls) == 3


@pytest.mark.usefixtures("short_connections")
async def test_a_server_that_only_hangs_is_given_up(serve: Serve, connect: Connect) -> None:
    def behaviour(request: Any, context: Any) -> Iterator[Any]:
        hang(context)
        yield pb.WatchTrainingJobResponse()

    server = serve(WatchTrainingJob=behaviour)
    with pytest.raises(errors.DeadlineExceededError):
        await listed(connect(server.address).watch_job("j1"))
    assert len(server.calls) == 3


async def test_a_client_is_closed_under_a_call(serve: Serve, connect: Connect) -> None:
    entered = asyncio.Event()
    loop = asyncio.get_running_loop()

    def behaviour(request: Any, context: Any) -> Any:
        loop.call_soon_threadsafe(entered.set)
        hang(context)
        return recommendation_service_pb2.RecommendResponse()

    client = connect(serve(Recommend=behaviour).address)
    call = asyncio.ensure_future(client.recommend("movies", "1"))
    await entered.wait()
    await client.close()
    with pytest.raises(errors.CancelledError):
        await call


async def test_a_client_is_closed_under_an_upload(serve: Serve, connect: Connect) -> None:
    entered = asyncio.Event()
    loop = asyncio.get_running_loop()

    def behaviour(requests: Iterator[Any], context: Any) -> Any:
        loop.call_soon_threadsafe(entered.set)
        hang(context)
        return pb.UploadDatasetResponse()

    client = connect(serve(UploadDataset=behaviour).address)
    upload = asyncio.ensure_future(client.upload_dataset({"user_id": ["1"], "item_id": ["2"], "rating": [3]}))
    await entered.wait()
    await client.close()
    with pytest.raises(errors.CancelledError):
        await upload
