"""A training that asks for an index, from the client's call to the answers of a server."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mfserve import AsyncClient
from mfserve.types import Ials, Index, NoRating, NoSplit
from mfserve_registry import Registry
from mfserve_registry.snapshot import Snapshot
from mfserve_trainer.training import train
from tests.scoring import oracle
from tests.server.conftest import MakeServer, serve
from tests.server.samples import LEASE
from tests.trainer.engines.synthetic import random_table
from tests.trainer.samples import fit_task, write_csv

__all__ = ["serve"]

USERS, ITEMS = 80, 600


@pytest.fixture
def ratings(tmp_path: Path) -> Path:
    return write_csv(random_table(1, USERS, ITEMS, share=0.03), tmp_path / "ratings.csv")


async def test_a_training_with_an_index_is_served_with_its_recall_and_exactly_on_demand(
    serve: MakeServer, registry: Registry, ratings: Path, tmp_path: Path
) -> None:
    server = await serve(data_roots=(tmp_path,))
    async with AsyncClient(server.address) as client:
        job = await client.train(
            "movies",
            dataset=ratings,
            title_column="title",
            rating=NoRating(),
            ranking=Ials(factors=8, iterations=3),
            split=NoSplit(),
            index=Index(recall=0.8, clusters=16),
        )
        claim = registry.jobs.claim("test", LEASE)
        assert claim is not None
        # What a trainer's fit process does, without the process.
        task = fit_task(tmp_path / "fit", ratings, claim.request.spec)
        trained = train(task, lambda _: None)
        registry.publish(claim, task.staged, trained.digest, trained.artifacts)
        assert (await job.result(timeout=30)).version == 1
        users = [f"u{user:04}" for user in range(USERS)]
        found = [await client.recommend("movies", user) for user in users]
        exact = [await client.recommend("movies", user, exact=True) for user in users]
    snapshot = Snapshot.open(registry.snapshots.path(trained.digest), trained.digest)
    assert snapshot.ranking is not None
    assert snapshot.ranking.index is not None
    measured = snapshot.ranking.index.recall
    assert 0.8 <= measured < 1
    assert {answer.recall for answer in found} == {np.float32(measured)}
    assert {answer.recall for answer in exact} == {None}
    best = [_best(snapshot, user) for user in users]
    assert [[item.item_id for item in answer] for answer in exact] == best
    shared = [
        len({item.item_id for item in answer} & {*row}) for answer, row in zip(found, best, strict=True)
    ]
    assert sum(shared) / (10 * USERS) == pytest.approx(measured)


def _best(snapshot: Snapshot, user_id: str) -> list[str]:
    assert snapshot.ranking is not None
    user = snapshot.users.index(user_id)
    scores = oracle.scores_of(snapshot.ranking.user_factors[user], snapshot.ranking.item_factors)
    seen = set(snapshot.rated.of(user).tolist())
    return [snapshot.items[item] for item in oracle.best(scores, 10, seen)]
