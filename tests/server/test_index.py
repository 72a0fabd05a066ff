"""A version with an approximate index, served: every answer says what searched, and exact may be demanded."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from mfserve import AsyncClient
from mfserve.types import ItemIndex
from mfserve_registry import Registry
from mfserve_registry.snapshot.content import ItemIndex as BuiltIndex
from mfserve_scoring import approximate
from mfserve_trainer.indexing import build
from tests.registry.snapshot.samples import FullContent, random_content
from tests.server import oracle
from tests.server.calls import Server
from tests.server.conftest import MakeServer
from tests.server.samples import publish

RECALL = 0.8125
MISSING = (
    "A version has an approximate index, but FAISS is not installed (mfserve[index]): it is searched exactly."
)


@pytest.fixture
def content() -> FullContent:
    made = random_content(4, users=30, items=500, factors=7)
    empty = replace(made.rated, indptr=np.zeros(31, dtype=np.int64), indices=np.empty(0, dtype=np.int32))
    assert made.ranking is not None
    index = BuiltIndex(build(made.ranking.item_factors, 20), 4, RECALL)
    return replace(made, rated=empty, ranking=replace(made.ranking, index=index))


@pytest.fixture
async def server(serve: MakeServer, registry: Registry, content: FullContent) -> Server:
    publish(registry, content=content)
    return await serve()


async def test_a_version_names_its_index(server: Server, registry: Registry) -> None:
    publish(registry, seed=5)
    async with AsyncClient(server.address) as client:
        found = [version.index async for version in client.list_versions("movies")]
        assert found == [None, ItemIndex("faiss-ivf", RECALL)]
        assert (await client.get_version("movies", 1)).index == found[1]


async def test_answers_name_the_recall_and_exact_is_exact(server: Server, content: FullContent) -> None:
    users = [f"u{user}" for user in range(30)]
    async with AsyncClient(server.address) as client:
        found = [await client.recommend("movies", user) for user in users]
        exact = [await client.recommend("movies", user, exact=True) for user in users]
        streamed = [row async for row in client.stream_recommend("movies", [*users, "nobody"], batch_size=7)]
        demanded = [row async for row in client.stream_recommend("movies", users, exact=True)]
        nobody = await client.recommend("movies", "nobody")
        history = await client.recommend("movies", history=[("i3", 5.0)])
        most = await client.recommend("movies", "u3", limit=100)  # more than the index is asked for
    for user in range(30):
        best = oracle.best(content, oracle.ranking_scores(content, user), 10, set())
        assert [item.item_id for item in exact[user]] == best
        assert [item.item_id for item in demanded[user]] == best
        assert list(streamed[user]) == list(found[user])
    assert [list(found[user]) == list(exact[user]) for user in range(30)].count(False) > 0
    assert {answer.recall for answer in (*found, history)} == {RECALL}
    assert {row.recall for row in streamed[:-1]} == {RECALL}
    assert {answer.recall for answer in (*exact, nobody, most)} == {None}
    assert {row.recall for row in (*demanded, streamed[-1])} == {None}


async def test_without_the_library_all_is_answered_exactly_and_the_log_says_so_once(
    serve: MakeServer,
    registry: Registry,
    content: FullContent,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    approximate._tell_that_it_is_missing.cache_clear()
    publish(registry, content=content)
    publish(registry, "others", content=replace(content, facts={"another": "snapshot"}))
    server = await serve()
    async with AsyncClient(server.address) as client:
        found = [await client.recommend("movies", f"u{user}") for user in range(30)]
        streamed = [row async for row in client.stream_recommend("movies", ["u1", "u2"])]
    for user, answer in enumerate(found):
        best = oracle.best(content, oracle.ranking_scores(content, user), 10, set())
        assert [item.item_id for item in answer] == best
    assert {answer.recall for answer in found} | {row.recall for row in streamed} == {None}
    assert [record.message for record in caplog.records].count(MISSING) == 1
