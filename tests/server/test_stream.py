"""StreamRecommend: columns that say what the unary calls say, pinned to one version, with bounded memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import grpc.aio
import pytest

from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry import Registry
from mfserve_scoring import RecommendationBatch, Recommender
from mfserve_server import bulk
from mfserve_server.conversions.batches import BatchEncoder
from tests.registry.snapshot.samples import random_content
from tests.server.calls import Server, failure
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.waiting import until

MOVIES = common_pb2.ModelSpec(model="movies")


@pytest.fixture
async def server(serve: MakeServer, registry: Registry) -> Server:
    publish(registry, content=random_content(3, users=600, items=40))
    return await serve()


def config(**fields: Any) -> pb.StreamRecommendRequest:
    return pb.StreamRecommendRequest(config=pb.StreamRecommendConfig(**({"model_spec": MOVIES} | fields)))


def batch(user_ids: Sequence[str], batch_id: int = 1) -> pb.StreamRecommendRequest:
    return pb.StreamRecommendRequest(batch=pb.UserBatch(batch_id=batch_id, user_ids=user_ids))


async def answers(server: Server, *messages: pb.StreamRecommendRequest) -> list[pb.StreamRecommendResponse]:
    return [response async for response in server.recommendations.StreamRecommend(iter(messages))]


def rows(answer: pb.RecommendationBatch) -> Iterator[tuple[list[tuple[str, float, float, str]], int]]:
    """For each user the items, with score, predicted rating and title, and the basis."""
    start = 0
    for count, basis in zip(answer.counts, answer.bases, strict=True):
        part = range(start, start + count)
        start += count
        yield (
            [
                (
                    answer.item_ids[answer.item_indices[n]],
                    answer.scores[n],
                    answer.predicted_ratings[n],
                    answer.titles[answer.item_indices[n]],
                )
                for n in part
            ],
            basis,
        )
    assert start == len(answer.scores) == len(answer.item_indices) == len(answer.predicted_ratings)


async def test_a_stream_says_what_unary_calls_say(server: Server) -> None:
    users = [*(f"u{n}" for n in range(600)), "nobody", "u5", "u5"]
    started, first, second = await answers(
        server, config(limit=7), batch(users[:600], 11), batch(users[600:], 12)
    )
    assert started.started.served_version.version == 1
    assert started.started.ranking_head == common_pb2.HEAD_RANKING
    assert (first.batch.batch_id, second.batch.batch_id) == (11, 12)
    streamed = [*rows(first.batch), *rows(second.batch)]
    for user, (items, basis) in zip(users, streamed, strict=True):
        unary = await server.recommendations.Recommend(
            pb.RecommendRequest(model_spec=MOVIES, user_id=user, limit=7)
        )
        assert items == [
            (item.item_id, item.score, item.predicted_rating, item.title) for item in unary.recommendations
        ]
        assert basis == unary.basis


async def test_item_ids_are_distinct_and_go_with_every_batch(server: Server) -> None:
    _, first, second = await answers(server, config(), batch(["u1", "u2"]), batch(["u1", "u2"]))
    assert first == second
    assert len(set(first.batch.item_ids)) == len(first.batch.item_ids) == len(first.batch.titles)


async def test_options_hold_for_the_whole_stream(server: Server) -> None:
    options = {"limit": 1000, "include_seen": True, "exclude_item_ids": ["i3"]}
    _, answer = await answers(
        server,
        config(ranking_head=common_pb2.HEAD_RATING, omit_predicted_ratings=True, **options),
        batch(["u1", "nobody"]),
    )
    assert list(answer.batch.counts) == [39, 39]
    assert "i3" not in answer.batch.item_ids
    assert len(answer.batch.predicted_ratings) == 0


async def test_nothing_left_to_recommend_is_an_empty_answer(server: Server) -> None:
    excluded = [f"i{n}" for n in range(40)]
    _, answer = await answers(server, config(exclude_item_ids=excluded), batch(["u1", "nobody"]))
    assert list(answer.batch.counts) == [0, 0]
    assert list(answer.batch.item_ids) == []


async def test_a_stream_stays_on_its_version_across_a_swap(server: Server, registry: Registry) -> None:
    stream = server.recommendations.StreamRecommend()
    await stream.write(config())
    started = (await stream.read()).started
    await stream.write(batch(["u1"]))
    before = (await stream.read()).batch
    publish(registry, seed=9, promote_to="production")

    async def swapped() -> bool:
        response = await server.recommendations.Recommend(
            pb.RecommendRequest(model_spec=MOVIES, user_id="u1")
        )
        return bool(response.served_version.version == 2)

    await until(swapped)
    await stream.write(batch(["u1"]))
    assert (await stream.read()).batch == before
    await stream.done_writing()
    assert await stream.read() == grpc.aio.EOF
    pinned = common_pb2.ModelSpec(model="movies", version=started.served_version.version)
    again, answer = await answers(server, config(model_spec=pinned), batch(["u1"]))
    assert again.started.served_version == started.served_version
    assert answer.batch == before


@pytest.mark.parametrize(
    ("messages", "reason", "field"),
    [
        ([], "STREAM_OUT_OF_ORDER", "config"),
        ([batch(["u1"])], "STREAM_OUT_OF_ORDER", "config"),
        ([pb.StreamRecommendRequest()], "STREAM_OUT_OF_ORDER", "config"),
        ([config(), config()], "STREAM_OUT_OF_ORDER", "batch"),
        ([config(limit=0)], "INVALID_FIELD", "config.limit"),
        ([config(ranking_head=7)], "INVALID_FIELD", "config.ranking_head"),
        ([config(exclude_item_ids=["", ""])], "INVALID_FIELD", "config.exclude_item_ids[0]"),
        ([config(model_spec=common_pb2.ModelSpec())], "INVALID_FIELD", "config.model_spec.model"),
        ([config(), batch([])], "INVALID_FIELD", "batch.user_ids"),
        ([config(), batch(["u1", ""])], "INVALID_FIELD", "batch.user_ids[1]"),
        ([config(), batch(["u1"] * 4097)], "INVALID_FIELD", "batch.user_ids"),
        ([config(limit=1000), batch(["u1"] * 201)], "INVALID_FIELD", "batch.user_ids"),
    ],
)
async def test_a_bad_stream_names_the_field(
    messages: list[pb.StreamRecommendRequest], reason: str, field: str, server: Server
) -> None:
    found = await failure(server.recommendations.StreamRecommend(iter(messages)))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert found.fields == [field]


async def test_a_bad_batch_is_named(server: Server) -> None:
    messages = [config(), batch(["u1"], 7), batch(["u1", ""], 8), batch([""], 9)]
    found = await failure(server.recommendations.StreamRecommend(iter(messages)))
    assert (found.fields, found.metadata) == (["batch.user_ids[1]"], {"batch_id": "8"})


async def test_the_largest_batches_are_answered(server: Server) -> None:
    _, many, long = await answers(
        server, config(limit=48), batch(["u1"] * 4096), batch([f"u{n}" for n in range(600)])
    )
    assert len(many.batch.counts) == 4096
    assert len(long.batch.counts) == 600


@pytest.mark.parametrize(("piece_scores", "piece"), [(bulk.PIECE_SCORES, 1024), (40 * 300, 300), (1, 256)])
async def test_others_get_their_turn_between_the_pieces_of_a_large_batch(
    server: Server, monkeypatch: pytest.MonkeyPatch, piece_scores: int, piece: int
) -> None:
    monkeypatch.setattr(bulk, "PIECE_SCORES", piece_scores)
    sizes: list[int] = []
    go_on = threading.Event()
    recommend_many = Recommender.recommend_many

    def held(self: Recommender, user_ids: Sequence[str], *args: Any, **kwargs: Any) -> RecommendationBatch:
        sizes.append(len(user_ids))
        assert go_on.wait(30)
        return recommend_many(self, user_ids, *args, **kwargs)

    monkeypatch.setattr(Recommender, "recommend_many", held)
    waiting = server.service._executors._scoring._work_queue

    large = asyncio.create_task(answers(server, config(), batch(["u1"] * (3 * piece + 10))))
    await until(lambda: sizes == [piece])
    small = asyncio.create_task(answers(server, config(), batch(["u2"])))
    await until(lambda: waiting.qsize() == 1)
    go_on.set()
    await asyncio.gather(large, small)
    assert sizes == [piece, 1, piece, piece, 10]


@pytest.fixture
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the answers that the server has made, as they are made."""
    sizes: list[int] = []
    encode = BatchEncoder.encode

    def recorded(self: BatchEncoder, *args: Any) -> bytes:
        data = encode(self, *args)
        sizes.append(len(data))
        return data

    monkeypatch.setattr(BatchEncoder, "encode", recorded)
    return sizes


async def stands_still(server: Server, scored: list[int]) -> None:
    """Returns when the stream is held up: others are answered again and again, and it makes no answer meanwhile."""
    while True:
        made = len(scored)
        for user in range(100):
            request = pb.RecommendRequest(model_spec=MOVIES, user_id=f"u{user}")
            assert (await server.recommendations.Recommend(request)).recommendations
        if len(scored) == made > 0:
            return


@pytest.mark.parametrize(
    ("users", "limit", "batches"), [(256, 40, 200), (200, 1000, 12)], ids=["usual answers", "largest answers"]
)
async def test_a_reader_who_does_not_read_holds_up_its_stream_and_no_other(
    serve: MakeServer, registry: Registry, scored: list[int], users: int, limit: int, batches: int
) -> None:
    publish(registry, content=random_content(3, users=600, items=1100 if limit == 1000 else 60))
    server = await serve()
    asked = [[f"u{(number + n) % 600}" for n in range(users)] for number in range(batches)]
    call = server.recommendations.StreamRecommend(
        iter([config(limit=limit, include_seen=True), *(batch(ids, n) for n, ids in enumerate(asked))])
    )
    await stands_still(server, scored)
    # All that was ever made of it: what the server holds, and what the connection's windows and buffers took. That of
    # the socket alone grows up to 4 MiB.
    assert sum(scored) < 12 << 20
    assert len(scored) < batches / 2
    await call.read()
    for number in range(batches):
        answer = (await call.read()).batch
        assert answer.batch_id == number
        assert list(answer.counts) == [limit] * users
    assert await call.read() == grpc.aio.EOF
    assert len(scored) == batches
