"""Replies that are kept: never another version's, never more than the memory that is allowed."""

from __future__ import annotations

import asyncio
import gc
import random
import tracemalloc
from typing import Any

import pytest

from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry import Registry
from mfserve_server.kept import LARGEST, KeptReplies
from tests.server.calls import Server, failure
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.waiting import until

DIGEST = "0123456789abcdef" * 4


def key(data: bytes) -> tuple[str, bytes]:
    return "method", data


@pytest.mark.parametrize(("request_size", "reply_size"), [(20, 60), (30, 500), (2000, 5000), (1, 1)])
def test_no_more_memory_is_taken_than_allowed(request_size: int, reply_size: int) -> None:
    most = 4 << 20
    noise = random.Random(request_size)
    gc.collect()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = KeptReplies(most)
        period = kept.period(DIGEST)
        for _ in range(3 * most // (request_size + reply_size + 250)):
            data = noise.randbytes(max(4, request_size))
            kept.keep(key(data), bytes(reply_size), period)
        taken = tracemalloc.get_traced_memory()[0] - before
        assert most / 3 < taken <= most
    finally:
        tracemalloc.stop()


def test_those_not_asked_for_longest_go_first() -> None:
    kept = KeptReplies(10_000)
    for number in range(5):
        kept.keep(key(b"%d" % number), bytes(1500), kept.period(DIGEST))
    assert kept.get(key(b"0")) == bytes(1500)
    kept.keep(key(b"5"), bytes(1500), kept.period(DIGEST))
    assert [number for number in range(6) if kept.get(key(b"%d" % number)) is not None] == [0, 2, 3, 4, 5]


def test_what_is_too_large_is_not_kept() -> None:
    kept = KeptReplies(10 * LARGEST)
    kept.keep(key(b"a"), bytes(LARGEST), kept.period(DIGEST))
    kept.keep(key(bytes(LARGEST)), b"a", kept.period(DIGEST))
    nothing = KeptReplies(0)
    nothing.keep(key(b"a"), b"", nothing.period(DIGEST))
    assert (len(kept), len(nothing)) == (0, 0)


def test_a_reply_that_was_begun_before_an_alias_moved_is_not_kept() -> None:
    kept = KeptReplies(1 << 20)
    begun = kept.period(DIGEST)
    kept.end_periods({DIGEST})
    kept.keep(key(b"a"), b"old", begun)
    assert kept.get(key(b"a")) is None
    kept.keep(key(b"a"), b"new", kept.period(DIGEST))
    assert kept.get(key(b"a")) == b"new"


def test_what_is_forgotten_makes_room_when_it_is_asked_for_and_the_rest_stays() -> None:
    kept = KeptReplies(10_000)
    for number in range(5):
        kept.keep(key(b"%d" % number), bytes(1500), kept.period("gone" if number % 2 else DIGEST))
    kept.end_periods({"gone", "unknown"})
    kept.period("gone")  # an alias may come back to it
    assert [number for number in range(5) if kept.get(key(b"%d" % number)) is not None] == [0, 2, 4]
    for number in (5, 6):
        kept.keep(key(b"%d" % number), bytes(1500), kept.period("gone"))
    assert [number for number in range(7) if kept.get(key(b"%d" % number)) is not None] == [0, 2, 4, 5, 6]


@pytest.fixture
async def server(serve: MakeServer, registry: Registry) -> Server:
    publish(registry, seed=1)
    return await serve()


def request(**fields: object) -> pb.RecommendRequest:
    spec = common_pb2.ModelSpec(model="movies", **fields)  # type: ignore[arg-type] # a version or an alias
    return pb.RecommendRequest(model_spec=spec, user_id="i1")


async def test_the_same_request_gets_the_same_bytes_whether_kept_or_not(
    server: Server, serve: MakeServer
) -> None:
    without = await serve(reply_cache_bytes=0)
    data = request().SerializeToString()
    # A request of each method with these very bytes.
    for number, method in enumerate(("Recommend", "FindSimilarItems"), 1):
        path = f"/mfserve.v1.RecommendationService/{method}"
        channels: list[Any] = [to.channel for to in (server, server, without, without)]
        replies = [await channel.unary_unary(path)(data) for channel in channels]
        assert len(set(replies)) == 1
        assert (len(server.service.kept), len(without.service.kept)) == (number, 0)


async def test_only_answers_by_a_name_that_will_be_watched_are_kept(
    server: Server, registry: Registry
) -> None:
    publish(registry, seed=2)
    for fields in ({"version": 2}, {"alias": "latest"}):
        for _ in range(2):
            answer = await server.recommendations.Recommend(request(**fields))
            assert answer.served_version.version == 2
    for _ in range(2):
        wrong = pb.RecommendRequest(model_spec=common_pb2.ModelSpec(model="movies"))
        assert (await failure(server.recommendations.Recommend(wrong))).fields == ["user"]
    assert len(server.service.kept) == 0
    await server.recommendations.Recommend(request(version=1))
    assert len(server.service.kept) == 1


async def test_an_alias_that_moves_costs_the_replies_of_what_it_leaves_alone(
    serve: MakeServer, registry: Registry
) -> None:
    for seed in (1, 2):
        publish(registry, seed=seed)
    publish(registry, seed=3, model="books")
    registry.aliases.set("movies", "candidate", 2, expected_revision=0)
    server = await serve()
    specs = [
        common_pb2.ModelSpec(model="books"),
        common_pb2.ModelSpec(model="movies", alias="candidate"),
        common_pb2.ModelSpec(model="movies", alias="production"),
        common_pb2.ModelSpec(model="movies", version=1),
    ]
    requests = [pb.RecommendRequest(model_spec=spec, user_id="i1") for spec in specs]

    async def served() -> list[int]:
        answers = [await server.recommendations.Recommend(asked) for asked in requests]
        return [answer.served_version.version for answer in answers]

    def kept() -> list[bool]:
        name = pb.RecommendRequest.DESCRIPTOR.full_name
        found = [server.service.kept.get((name, asked.SerializeToString())) for asked in requests]
        return [reply is not None for reply in found]

    assert await served() == [1, 2, 1, 1]
    assert kept() == [True] * 4
    revision = registry.aliases.get("movies", "production").revision
    registry.aliases.set("movies", "production", 2, expected_revision=revision)

    async def moved() -> bool:
        return bool((await server.recommendations.Recommend(request())).served_version.version == 2)

    await until(moved)
    assert kept() == [True, True, False, False]
    assert await served() == [1, 2, 2, 1]
    assert kept() == [True, True, True, False]  # no alias names version 1 any more


async def test_no_caller_gets_an_older_version_after_a_newer_one(server: Server, registry: Registry) -> None:
    done = asyncio.Event()
    current = 1

    async def call() -> list[int]:
        versions = []
        while not done.is_set():
            at_least = current
            answer = await server.recommendations.Recommend(request())
            versions.append(answer.served_version.version)
            assert versions[-1] >= at_least
        return versions

    callers = [asyncio.create_task(call()) for _ in range(16)]
    for seed in range(2, 6):
        published = await asyncio.to_thread(publish, registry, seed=seed)
        revision = registry.aliases.get("movies", "production").revision
        registry.aliases.set("movies", "production", published.version, expected_revision=revision)
        while current < published.version:
            answer = await server.recommendations.Recommend(request())
            current = max(current, answer.served_version.version)
    done.set()
    seen = await asyncio.gather(*callers)
    assert {version for versions in seen for version in versions} == {1, 2, 3, 4, 5}
    assert all(versions == sorted(versions) for versions in seen)
