"""Calls that wait together are scored together: with the bits that they get alone, and none to another's harm."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry import Registry
from mfserve_registry.contact import Contact
from mfserve_registry.errors import InvalidArgument, Overloaded
from mfserve_scoring import Progress, Question, Recommendations, Recommender, Searches, queries, searches
from mfserve_scoring.topk import ExactTopK
from mfserve_server import scoring, sharing
from mfserve_server.conversions.batches import ItemEntries
from mfserve_server.executors import Executors
from mfserve_server.loading import LoadedVersion, Scorer
from mfserve_server.replies import ItemPieces, RecommendReplies
from mfserve_server.sharing import SharedScoring
from tests.registry.snapshot.samples import random_content
from tests.scoring.snapshots import opened
from tests.scoring.test_recommender import bits
from tests.scoring.test_searches import defaults
from tests.server.calls import failure
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.waiting import until


class WatchedSearches(Searches[Any]):
    """Note how many questions each step has."""

    def __init__(self, of: Watched) -> None:
        super().__init__(of._query, of._predictor)
        self._of = of

    def step(self) -> Progress[Any]:
        self._of.asked.append(len(self))
        self._of.before_step()
        if self._of.defect is not None:
            raise self._of.defect
        return super().step()


class Watched(Recommender):
    """Notes how many questions it is asked at a time, and fails where it is told to."""

    def __init__(self, seed: int = 3) -> None:
        snapshot = opened(random_content(seed, users=20, items=40))
        super().__init__(snapshot)
        served, pieces = common_pb2.ServedVersion(), ItemPieces(snapshot)
        scorer = Scorer(snapshot, self, ItemEntries(snapshot), pieces)
        self.loaded = LoadedVersion("movies", 1, str(seed), scorer, served, RecommendReplies(served, pieces))
        self.asked: list[int] = []
        self.defect: Exception | None = None
        self.before_step: Callable[[], object] = lambda: None

    def searches(self) -> Searches[Any]:
        return WatchedSearches(self)


@pytest.fixture
def recommender() -> Watched:
    return Watched()


@pytest.fixture
async def executors() -> AsyncIterator[Executors]:
    opened = Executors(Contact())
    yield opened
    opened.close()


@asynccontextmanager
async def busy(executors: Executors) -> AsyncIterator[None]:
    """The scoring thread is occupied meanwhile."""
    free = threading.Event()
    work = asyncio.create_task(executors.scoring(free.wait))
    await asyncio.sleep(0)
    try:
        yield
    finally:
        await asyncio.sleep(0)
        free.set()
        await work


def asked(shared: SharedScoring, recommender: Watched, count: int) -> list[asyncio.Task[Recommendations]]:
    return [
        asyncio.create_task(shared.answer(recommender.loaded, Question(f"u{number}", 1 + number)))
        for number in range(count)
    ]


@pytest.mark.parametrize(("most", "sizes"), [(256, [7]), (3, [3, 3, 1]), (1, [1] * 7)])
async def test_what_waits_is_scored_at_once_up_to_the_bound(
    most: int, sizes: list[int], executors: Executors, recommender: Watched
) -> None:
    shared = SharedScoring(executors, most)
    async with busy(executors):
        tasks = asked(shared, recommender, 7)
    found = await asyncio.gather(*tasks)
    assert recommender.asked == sizes
    for number, answer in enumerate(found):
        assert bits(answer) == bits(recommender.recommend(f"u{number}", 1 + number))


async def test_versions_do_not_mix_and_the_longest_waiting_is_first(
    executors: Executors, recommender: Watched
) -> None:
    other = Watched(4)
    shared = SharedScoring(executors, 256)
    async with busy(executors):
        tasks = [task for each in (recommender, other, recommender, other) for task in asked(shared, each, 2)]
    found = await asyncio.gather(*tasks)
    assert (recommender.asked, other.asked) == ([4], [4])
    for answer, each in zip(found[::2], (recommender, other, recommender, other), strict=True):
        assert bits(answer) == bits(each.recommend("u0", 1))


async def test_who_has_hung_up_is_not_scored(executors: Executors, recommender: Watched) -> None:
    shared = SharedScoring(executors, 256)
    async with busy(executors):
        tasks = asked(shared, recommender, 4)
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[2].cancel()
        await asyncio.wait([tasks[0], tasks[2]])
    assert len((await tasks[3]).item_indices) == 4
    assert recommender.asked == [2]
    async with busy(executors):
        (alone,) = asked(shared, recommender, 1)
        await asyncio.sleep(0)
        alone.cancel()
    assert len((await shared.answer(recommender.loaded, Question("u1", 2))).item_indices) == 2
    assert recommender.asked == [2, 1]


async def test_an_error_is_told_to_the_one_whom_it_concerns(
    executors: Executors, recommender: Watched
) -> None:
    shared = SharedScoring(executors, 256)
    async with busy(executors):
        wrong = asyncio.create_task(shared.answer(recommender.loaded, Question([("i1", 99.0)], 5)))
        tasks = asked(shared, recommender, 3)
    found = await asyncio.gather(*tasks)
    assert [len(answer.item_indices) for answer in found] == [1, 2, 3]
    with pytest.raises(InvalidArgument):
        await wrong


async def test_what_fails_together_is_answered_alone(executors: Executors, recommender: Watched) -> None:
    shared = SharedScoring(executors, 256)
    recommender.defect = MemoryError("none left")
    async with busy(executors):
        tasks = asked(shared, recommender, 3)
        tasks.append(asyncio.create_task(shared.answer(recommender.loaded, Question("u1", 0))))
    await asyncio.wait(tasks)
    *answered, refused = tasks
    assert [len(task.result().item_indices) for task in answered] == [1, 2, 3]
    assert isinstance(refused.exception(), InvalidArgument)


async def test_a_defect_of_one_search_leaves_no_caller_of_another_without_an_answer(
    executors: Executors, recommender: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = queries.answer_together

    def broken(asked: Sequence[queries.Query], predictor: Any) -> list[Recommendations]:
        assert asked[0].limit < 20
        return together(asked, predictor)

    monkeypatch.setattr(searches, "answer_together", broken)
    shared = SharedScoring(executors, 256)
    async with busy(executors):
        tasks = [
            asyncio.create_task(shared.answer(recommender.loaded, Question("u1", limit))) for limit in (2, 20)
        ]
    assert [len(answer.item_indices) for answer in await asyncio.gather(*tasks)] == [2, 20]


async def test_a_defect_at_the_end_of_a_search_is_told(
    executors: Executors, in_parts: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries.Query, "found", lambda *arguments: 1 / 0)
    shared = SharedScoring(executors, 256)
    outcomes = await asyncio.gather(*asked(shared, in_parts, 2), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError] * 2


async def test_who_waits_for_other_versions_too_is_refused_sooner(
    executors: Executors, in_parts: Watched
) -> None:
    other = Watched(4)
    for each in (in_parts, other):
        each.loaded.scorer.times.note(1, 2.0)  # so long it takes
    go = threading.Event()
    in_parts.before_step = lambda: go.wait(60)
    shared = SharedScoring(executors, 256, max_delay=3.0)
    (first,) = asked(shared, in_parts, 1)
    await until(lambda: _has_steps(in_parts, 1))
    (second,) = asked(shared, in_parts, 1)  # goes with the first
    await asyncio.sleep(0)
    assert not shared.sheds()
    with pytest.raises(Overloaded):
        await shared.answer(other.loaded, Question("u1", 2))
    assert shared.sheds()
    go.set()
    await asyncio.gather(first, second)
    assert len((await shared.answer(other.loaded, Question("u1", 2))).item_indices) == 2


async def test_who_is_just_getting_on_counts(
    executors: Executors, recommender: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    # So long it takes, for two too, and for three half as long again.
    recommender.loaded.scorer.times.note(1, 2.0)
    gets_on, go = threading.Event(), threading.Event()

    def resolve(question: Question) -> queries.Query:
        gets_on.set()
        assert go.wait(60)
        return Recommender._query(recommender, question)

    monkeypatch.setattr(recommender, "_query", resolve)
    shared = SharedScoring(executors, 256, max_delay=2.5)
    tasks = asked(shared, recommender, 2)
    await until(gets_on.is_set)
    with pytest.raises(Overloaded):
        await shared.answer(recommender.loaded, Question("u3", 1))
    go.set()
    await asyncio.gather(*tasks)


async def test_after_a_defect_it_goes_on(
    executors: Executors, recommender: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = SharedScoring(executors, 256)
    with monkeypatch.context() as broken:
        broken.setattr(Searches, "step", lambda self: 1 / 0)
        broken.setattr(Watched, "answer", lambda self, question: 1 / 0)
        async with busy(executors):
            tasks = asked(shared, recommender, 3)
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ZeroDivisionError] * 3
    assert len((await shared.answer(recommender.loaded, Question("u1", 2))).item_indices) == 2


@pytest.mark.parametrize(("share", "sizes"), [(1e6, [2, 2]), (0.0, [2, 1, 1])])
async def test_the_first_to_come_back_waits_for_the_others_but_not_for_long(
    share: float,
    sizes: list[int],
    executors: Executors,
    recommender: Watched,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sharing, "RETURN_SHARE", share)
    shared = SharedScoring(executors, 256)

    async def call(before: asyncio.Future[Any] | None) -> None:
        await shared.answer(recommender.loaded, Question("u1", 2))
        if before is not None:
            # Comes back later than the other: with no wait, when the other's second call has been scored.
            await (asyncio.sleep(0) if share else before)
        await shared.answer(recommender.loaded, Question("u2", 2))

    async with busy(executors):
        first = asyncio.create_task(call(None))
        second = asyncio.create_task(call(first))
    await asyncio.wait_for(asyncio.gather(first, second), 30)
    assert recommender.asked == sizes


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> Watched:
    """Its searches have four parts, as if its catalogue were large."""
    monkeypatch.setitem(defaults(ExactTopK), "part", 10)
    return Watched()


async def test_who_comes_during_a_search_joins_it(executors: Executors, in_parts: Watched) -> None:
    shared = SharedScoring(executors, 2)
    steps = threading.Semaphore(2)
    in_parts.before_step = lambda: steps.acquire(timeout=60)
    (first,) = asked(shared, in_parts, 1)
    await until(lambda: _has_steps(in_parts, 3))  # it has seen half of the items
    others = asked(shared, in_parts, 3)
    await asyncio.sleep(0)
    steps.release(9)
    found = [await first, *await asyncio.gather(*others)]
    # At most two together: the third of the others gets on as the first of them gets off.
    assert in_parts.asked == [1, 1, 1, 2, 2, 2, 2, 2, 1, 1, 1]
    for answer, number in zip(found, (0, 0, 1, 2), strict=True):
        assert bits(answer) == bits(in_parts.recommend(f"u{number}", 1 + number))


async def test_who_hangs_up_during_a_search_is_scored_no_further(
    executors: Executors, in_parts: Watched
) -> None:
    shared = SharedScoring(executors, 256)
    steps = threading.Semaphore(1)
    in_parts.before_step = lambda: steps.acquire(timeout=60)
    tasks = asked(shared, in_parts, 2)
    await until(lambda: _has_steps(in_parts, 2))
    tasks[0].cancel()
    await asyncio.wait([tasks[0]])
    steps.release(9)
    assert len((await tasks[1]).item_indices) == 2
    assert in_parts.asked == [2, 2, 1, 1]


async def _has_steps(recommender: Watched, count: int) -> bool:
    return len(recommender.asked) == count


async def test_a_server_answers_the_same_when_calls_share_their_scoring(
    serve: MakeServer, registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(registry, content=random_content(3, users=20, items=40))
    server = await serve(reply_cache_bytes=0)
    requests = [
        pb.RecommendRequest(
            model_spec=common_pb2.ModelSpec(model="movies"),
            user_id=f"u{number}",  # from u20 on unknown
            limit=1 + number % 5,
            exclude_item_ids=[f"i{number}"],
            include_seen=number % 2 == 0,
            ranking_head=common_pb2.Head.ValueType(number % 3),
        )
        for number in range(25)
    ]
    rated = [pb.RatedItem(item_id="i1", rating=5.0)]
    requests.append(
        pb.RecommendRequest(
            model_spec=common_pb2.ModelSpec(model="movies"), history=pb.History(ratings=rated)
        )
    )
    alone = [await server.recommendations.Recommend(request) for request in requests]
    monkeypatch.setattr(scoring, "_ON_LOOP", 0)  # as if the catalogue were large
    wrong = pb.RecommendRequest(model_spec=common_pb2.ModelSpec(model="movies"), user_id="u1", limit=0)
    refused = asyncio.create_task(failure(server.recommendations.Recommend(wrong)))
    shared = await asyncio.gather(*(server.recommendations.Recommend(request) for request in requests))
    assert shared == alone
    assert (await refused).fields == ["limit"]
