"""Streams keep their order and their version over broken connections, and their memory small."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest

from mfserve import errors
from mfserve._client.bulk import IN_FLIGHT
from mfserve.types import Head, Recommendation, RecommendationBasis, RecommendationBatch
from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from tests.client.conftest import Connect, Serve
from tests.client.services import answers, fail, recommend_to_all, started
from tests.client.twins import listed

USERS = [f"u{n}" for n in range(100)]


async def test_every_user_once_and_in_order(serve: Serve, connect: Connect) -> None:
    client = connect(serve(StreamRecommend=recommend_to_all).address)
    stream = client.stream_recommend("movies", iter(USERS), batch_size=7)
    rows = await listed(stream)
    assert [row.user_id for row in rows] == USERS
    assert [[item.item_id for item in row] for row in rows] == [[f"{u}/0", f"{u}/1"] for u in USERS]
    first = rows[0]
    assert first.basis is RecommendationBasis.MODEL
    assert first.ranking_head is Head.RANKING
    assert first.served_version.version == stream.served_version.version == 3
    assert first[0] == Recommendation("u0/0", 1.0, 4.5, None)
    assert first[-1] == first[1:][0] == Recommendation("u0/1", 0.5, 4.5, None)
    assert len(first) == 2


async def test_columns(serve: Serve, connect: Connect) -> None:
    client = connect(serve(StreamRecommend=recommend_to_all).address)
    batches: list[RecommendationBatch] = await listed(
        client.stream_recommend("movies", USERS, batch_size=40).batches()
    )
    assert [len(batch) for batch in batches] == [40, 40, 20]
    batch = batches[0]
    scores = np.asarray(batch.scores)
    assert scores.dtype == np.float32
    assert np.shares_memory(scores, np.asarray(batch.scores))
    assert np.asarray(batch.item_indices).dtype == np.uint32
    assert np.asarray(batch.offsets).tolist() == list(range(0, 82, 2))
    assert [row.user_id for row in batch] == list(batch.user_ids) == USERS[:40]


async def test_what_was_asked_for_is_sent(serve: Serve, connect: Connect) -> None:
    seen: list[pb.StreamRecommendConfig] = []

    def keep(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        seen.append(next(requests).config)
        yield started()
        for request in requests:
            yield answers(request.batch)

    client = connect(serve(StreamRecommend=keep).address)
    rows = await listed(
        client.stream_recommend(
            "movies",
            ["1"],
            limit=2,
            exclude_item_ids=["9"],
            include_seen=True,
            ranking_head="rating",
            predicted_ratings=False,
            alias="candidate",
        )
    )
    assert seen == [
        pb.StreamRecommendConfig(
            model_spec=common_pb2.ModelSpec(model="movies", alias="candidate"),
            limit=2,
            exclude_item_ids=["9"],
            include_seen=True,
            ranking_head=common_pb2.HEAD_RATING,
            omit_predicted_ratings=True,
        )
    ]
    assert rows[0][0].predicted_rating is None


async def test_a_stream_of_no_users_is_answered_too(serve: Serve, connect: Connect) -> None:
    server = serve(StreamRecommend=recommend_to_all)
    stream = connect(server.address).stream_recommend("movies", [])
    assert await listed(stream) == []
    assert stream.served_version.version == 3
    assert server.calls == ["StreamRecommend"]


@pytest.mark.parametrize("how", ["read", "failed", "closed", "closed unread"])
async def test_a_stream_is_not_empty_when_it_is_read_again(serve: Serve, connect: Connect, how: str) -> None:
    client = connect(serve(StreamRecommend=recommend_to_all).address)
    stream = client.stream_recommend("movies", [*USERS, 5] if how == "failed" else USERS)
    match how:
        case "read":
            await listed(stream)
        case "failed":
            with pytest.raises(TypeError):
                await listed(stream)
        case "closed":
            async for _ in stream:
                break
            await stream.close()
        case _:
            await stream.close()
    for read in (
        lambda: listed(stream),
        lambda: listed(stream.batches()),
        stream.to_pandas,
        stream.to_arrow,
    ):
        with pytest.raises(RuntimeError, match="call stream_recommend again"):
            await read()


@pytest.mark.parametrize("columns", [False, True])
async def test_whoever_is_reading_a_stream_that_is_closed_is_told(
    serve: Serve, connect: Connect, columns: bool
) -> None:
    client = connect(serve(StreamRecommend=recommend_to_all).address)
    stream = client.stream_recommend("movies", USERS, batch_size=40)
    reading = aiter(stream.batches() if columns else stream)
    await anext(reading)
    await stream.close()
    with pytest.raises(RuntimeError, match="was closed"):
        await anext(reading)


async def test_whoever_stops_reading_batches_can_go_on(serve: Serve, connect: Connect) -> None:
    client = connect(serve(StreamRecommend=recommend_to_all).address)
    stream = client.stream_recommend("movies", USERS, batch_size=40)
    async for batch in stream.batches():
        assert list(batch.user_ids) == USERS[:40]
        break
    assert [len(batch) for batch in await listed(stream.batches())] == [40, 20]


@pytest.mark.parametrize(
    ("limit", "batch_size", "sizes"),
    [(None, 4096, [4096, 904]), (1000, 256, [200] * 25), (10, 2500, [2500, 2500]), (0, 2500, [2500, 2500])],
)
async def test_size_of_batches(
    serve: Serve, connect: Connect, limit: int | None, batch_size: int, sizes: list[int]
) -> None:
    seen: list[int] = []

    def measure(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        next(requests)
        yield started()
        for request in requests:
            seen.append(len(request.batch.user_ids))
            yield answers(request.batch, 0)

    client = connect(serve(StreamRecommend=measure).address)
    users = map(str, range(5000))
    assert (
        len(await listed(client.stream_recommend("movies", users, limit=limit, batch_size=batch_size)))
        == 5000
    )
    assert seen == sizes


async def test_users_are_read_only_a_few_batches_ahead(serve: Serve, connect: Connect) -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield str(read)

    client = connect(serve(StreamRecommend=recommend_to_all).address)
    stream = client.stream_recommend("movies", endless(), batch_size=5)
    given = 0
    async for _ in stream:
        given += 1
        assert read <= given + 5 * (IN_FLIGHT + 1)
        if given == 500:
            break
    await stream.close()


async def test_closing_early_ends_the_call(serve: Serve, connect: Connect) -> None:
    ended = threading.Event()

    def serve_all(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        context.add_callback(ended.set)
        yield from recommend_to_all(requests, context)

    client = connect(serve(StreamRecommend=serve_all).address)
    stream = client.stream_recommend("movies", USERS, batch_size=3)
    async for _ in stream:
        break
    await stream.close()
    assert await asyncio.to_thread(ended.wait, 30)


async def test_a_failure_of_the_users_iterator_is_the_callers(serve: Serve, connect: Connect) -> None:
    # Also where it looks like one of ours: it must not be taken for a broken connection, which would leave out users.
    def users() -> Iterator[str]:
        yield from USERS
        raise errors.UnavailableError("of the iterator")

    server = serve(StreamRecommend=recommend_to_all)
    with pytest.raises(errors.UnavailableError, match="of the iterator"):
        await listed(connect(server.address).stream_recommend("movies", users(), batch_size=3))
    assert server.calls == ["StreamRecommend"]


async def test_users_from_an_asynchronous_iterator(serve: Serve) -> None:
    from mfserve import AsyncClient

    async def users() -> AsyncIterator[str]:
        for user in USERS:
            await asyncio.sleep(0)
            yield user

    async with AsyncClient(serve(StreamRecommend=recommend_to_all).address) as client:
        rows = await listed(client.stream_recommend("movies", users(), batch_size=7))
    assert [row.user_id for row in rows] == USERS


async def test_goes_on_after_a_restart_of_the_server(serve: Serve, connect: Connect) -> None:
    specs: list[common_pb2.ModelSpec] = []

    def keep(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        specs.append(next(requests).config.model_spec)
        yield started()
        for request in requests:
            yield answers(request.batch)

    server = serve(StreamRecommend=keep)
    rows = []
    async for row in connect(server.address).stream_recommend("movies", iter(USERS), batch_size=4):
        rows.append(row.user_id)
        if len(rows) in {1, 30, 77}:
            await asyncio.to_thread(server.restart)
    assert rows == USERS
    # Whatever `production` names by now, the further connections ask for the version that answered the first.
    assert specs[0] == common_pb2.ModelSpec(model="movies")
    assert set(map(str, specs[1:])) == {str(common_pb2.ModelSpec(model="movies", version=3))}
    assert len(specs) >= 3


@pytest.mark.parametrize("breaks_at", ["config", "started", "batch", "end"])
async def test_goes_on_wherever_the_server_gives_up(serve: Serve, connect: Connect, breaks_at: str) -> None:
    turns = iter([breaks_at, breaks_at])

    def flaky(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        turn = next(turns, None)
        if turn == "config":
            fail(context, grpc.StatusCode.UNAVAILABLE, reason="UNAVAILABLE")
        next(requests)
        yield started()
        if turn == "started":
            fail(context, grpc.StatusCode.UNAVAILABLE)
        for count, request in enumerate(requests):
            if turn == "batch" and count == 2:
                fail(context, grpc.StatusCode.UNAVAILABLE)
            if turn == "end" and count == 2:
                return
            yield answers(request.batch)

    server = serve(StreamRecommend=flaky)
    rows = await listed(connect(server.address).stream_recommend("movies", USERS, batch_size=9))
    assert [row.user_id for row in rows] == USERS
    assert len(server.calls) == 3


async def test_does_not_insist_where_the_version_is_damaged(serve: Serve, connect: Connect) -> None:
    def refuse(requests: Iterator[Any], context: Any) -> None:
        fail(context, grpc.StatusCode.UNAVAILABLE, "damaged", reason="SNAPSHOT_DAMAGED")

    server = serve(StreamRecommend=refuse)
    with pytest.raises(errors.UnavailableError, match="damaged"):
        await listed(connect(server.address).stream_recommend("movies", USERS))
    assert len(server.calls) == 1


async def test_deadline_of_a_stream(serve: Serve, connect: Connect) -> None:
    def hang(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        ended = threading.Event()
        context.add_callback(ended.set)
        yield started()
        ended.wait()

    client = connect(serve(StreamRecommend=hang).address)
    with pytest.raises(errors.DeadlineExceededError, match=r"within 0\.3 s"):
        await listed(client.stream_recommend("movies", USERS, timeout=0.3))


def _of_another_question(answer: Any) -> None:
    answer.batch.batch_id += 1


def _with_a_column_too_short(answer: Any) -> None:
    answer.batch.predicted_ratings.pop()


@pytest.mark.parametrize("spoil", [_of_another_question, _with_a_column_too_short])
async def test_a_malformed_answer_is_no_answer(
    serve: Serve, connect: Connect, spoil: Callable[[Any], None]
) -> None:
    def malformed(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        next(requests)
        yield started()
        for request in requests:
            answer = answers(request.batch)
            spoil(answer)
            yield answer

    client = connect(serve(StreamRecommend=malformed).address)
    with pytest.raises(errors.MfserveError):
        await listed(client.stream_recommend("movies", USERS, timeout=0.5))
