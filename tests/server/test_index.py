"""A version with an approximate index, served: every answer says what searched, and exact may be demanded."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mfserve import AsyncClient
from mfserve_registry import Registry
from mfserve_registry.snapshot.content import ItemIndex
from mfserve_trainer.indexing import build
from tests.registry.snapshot.samples import FullContent, random_content
from tests.server import oracle
from tests.server.calls import Server
from tests.server.conftest import MakeServer
from tests.server.samples import publish

RECALL = 0.8125


@pytest.fixture
def content() -> FullContent:
    made = random_content(4, users=30, items=500, factors=7)
    empty = replace(made.rated, indptr=np.zeros(31, dtype=np.int64), indices=np.empty(0, dtype=np.int32))
    assert made.ranking is not None
    index = ItemIndex(build(made.ranking.item_factors, 20), 4, RECALL)
    return replace(made, rated=empty, ranking=replace(made.ranking, index=index))


@pytest.fixture
async def server(serve: MakeServer, registry: Registry, content: FullContent) -> Server:
    publish(registry, content=content)
    return await serve()


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
