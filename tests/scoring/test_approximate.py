"""The search by an index, against the oracle: it may miss items, and nothing else may differ."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mfserve_registry.errors import DamagedSnapshot
from mfserve_registry.snapshot import Snapshot
from mfserve_registry.snapshot.content import ItemIndex, SnapshotContent
from mfserve_scoring import Basis, Head, Recommender, approximate
from mfserve_scoring.exact import Floats, Indices
from mfserve_scoring.excluded import NOTHING
from mfserve_scoring.queries import Query, answer, answer_together
from mfserve_scoring.topk import ExactTopK
from mfserve_scoring.vector import Vector
from mfserve_trainer.indexing import build
from tests.registry.snapshot.samples import random_content
from tests.scoring import oracle
from tests.scoring.snapshots import opened

USERS, ITEMS = 40, 600


def content_with_index(probes: int = 12, clusters: int = 24) -> SnapshotContent:
    made = random_content(5, users=USERS, items=ITEMS, factors=7)
    few = [row[::25] for row in np.split(made.rated.indices, made.rated.indptr[1:-1])]
    indptr = np.cumsum([0, *map(len, few)], dtype=np.int64)
    rated = replace(made.rated, indptr=indptr, indices=np.concatenate(few))
    assert made.ranking is not None
    data = build(made.ranking.item_factors, clusters)
    return replace(made, rated=rated, ranking=replace(made.ranking, index=ItemIndex(data, probes, 0.75)))


@pytest.fixture(scope="module")
def content() -> SnapshotContent:
    return content_with_index()


@pytest.fixture(scope="module")
def snapshot(content: SnapshotContent) -> Snapshot:
    return opened(content)


@pytest.fixture(scope="module")
def recommender(snapshot: Snapshot) -> Recommender:
    return Recommender(snapshot)


def scores_of(content: SnapshotContent, user: int) -> NDArray[np.float64]:
    assert content.ranking is not None
    return oracle.scores_of(content.ranking.user_factors[user], content.ranking.item_factors)


def test_finds_most_of_the_best_with_their_exact_scores(
    content: SnapshotContent, recommender: Recommender
) -> None:
    hits = 0
    for user in range(USERS):
        found = recommender.recommend(f"u{user}", 10)
        seen = set(content.rated.of(user).tolist())
        items = found.item_indices.tolist()
        scores = scores_of(content, user)
        assert found.recall == 0.75
        assert len(items) == len(set(items)) == 10
        assert not seen & set(items)
        # Of what was found the order is the exact one, and so are the scores.
        others = set(range(ITEMS)) - set(items)
        assert items == oracle.best(scores, 10, others)
        np.testing.assert_array_equal(found.scores, scores[items].astype(np.float32))
        hits += len(set(items) & set(oracle.best(scores, 10, seen)))
    assert hits > 0.8 * 10 * USERS
    assert hits < 10 * USERS  # else the index was not asked


def test_whoever_demands_exact_gets_the_bits_of_the_exact_search(
    content: SnapshotContent, recommender: Recommender
) -> None:
    assert content.ranking is not None
    without = Recommender(opened(replace(content, ranking=replace(content.ranking, index=None))))
    for user in range(USERS):
        found, exact = recommender.recommend(f"u{user}", 10, exact=True), without.recommend(f"u{user}", 10)
        assert found.recall is None
        np.testing.assert_array_equal(found.item_indices, exact.item_indices)
        np.testing.assert_array_equal(found.scores, exact.scores)


def test_an_answer_is_the_same_alone_and_in_a_batch(recommender: Recommender) -> None:
    users = [f"u{user}" for user in (*range(USERS), 3, 3)]
    batch = recommender.recommend_many(users, 10)
    ends = np.cumsum(batch.counts)
    for user, items, scores in zip(
        users, np.split(batch.item_indices, ends), np.split(batch.scores, ends), strict=False
    ):
        alone = recommender.recommend(user, 10)
        np.testing.assert_array_equal(items, alone.item_indices)
        np.testing.assert_array_equal(scores, alone.scores)


def test_excluded_items_never_come_and_fewer_only_where_fewer_remain(
    content: SnapshotContent, recommender: Recommender
) -> None:
    for count in (30, 300, ITEMS - 4, ITEMS):
        left_out = [f"i{item}" for item in np.random.default_rng(count).permutation(ITEMS)[:count]]
        found = recommender.recommend("u1", 10, exclude_item_ids=left_out, include_seen=True)
        items = [content.item_ids[item] for item in found.item_indices]
        assert not set(items) & set(left_out)
        assert len(items) == min(10, ITEMS - count)
        assert found.recall == (0.75 if count == 30 else None)  # of many the index is not asked


def test_what_the_index_proposes_too_little_of_is_searched_exactly_and_says_so(
    content: SnapshotContent,
) -> None:
    assert content.ranking is not None
    assert content.ranking.index is not None
    index = replace(content.ranking.index, probes=1)
    narrow = Recommender(opened(replace(content, ranking=replace(content.ranking, index=index))))
    # A cluster has some 25 items: fewer than 40.
    found = narrow.recommend("u2", 40, include_seen=True)
    assert found.item_indices.tolist() == oracle.best(scores_of(content, 2), 40)
    assert found.recall is None
    assert narrow.recommend("u2", 10, include_seen=True).recall == 0.75


def test_histories_go_through_the_index_and_popularity_never(recommender: Recommender) -> None:
    folded = recommender.recommend_history([("i5", 5.0), ("i9", 4.0)], 10)
    assert (folded.basis, folded.recall) == (Basis.FOLD_IN, 0.75)
    assert {5, 9}.isdisjoint(folded.item_indices.tolist())
    nobody = recommender.recommend("nobody", 10)
    assert (nobody.basis, nobody.recall) == (Basis.POPULARITY, None)
    by_rating = recommender.recommend("u3", 10, head=Head.RATING)
    assert by_rating.recall is None
    assert (recommender.recall(), recommender.recall(Head.RATING)) == (0.75, None)
    assert recommender.recall(exact=True) is None


class FirstItems:
    """An index that proposes whatever comes first."""

    def propose(self, user: Floats, count: int) -> Indices:
        return np.arange(count, dtype=np.int32)


def test_queries_that_wait_together_are_answered_as_alone(snapshot: Snapshot) -> None:
    assert snapshot.ranking is not None
    items = snapshot.ranking.item_factors
    exact = ExactTopK(items)
    index = approximate.ApproximateTopK(FirstItems(), items, exact, 0.75)
    user = Vector(snapshot.ranking.user_factors[0], None)
    queries = [
        Query(limit, NOTHING, exact, user, None, Basis.MODEL, Head.RANKING, asked)
        for limit in (3, 10, 60, 40)
        for asked in (index, None)
    ]
    for query, found in zip(queries, answer_together(queries, None), strict=True):
        alone = answer(query, None)
        assert found.item_indices.tolist() == alone.item_indices.tolist()
        assert found.scores.tolist() == alone.scores.tolist()
        # Of 600 items the index is not asked for 180.
        assert found.recall == alone.recall == (None if query.by_index is None or query.limit == 60 else 0.75)


def test_without_the_library_the_search_is_exact_and_says_so_once(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    approximate._tell_that_it_is_missing.cache_clear()
    for _ in range(2):
        found = Recommender(snapshot).recommend("u4", 10)
        assert found.recall is None
    assert [record.message for record in caplog.records if "FAISS is not installed" in record.message] != []
    assert len(caplog.records) == 1


@pytest.mark.parametrize("damage", ["other items", "other factors", "no index", "another kind"])
def test_bytes_of_another_index_are_refused(content: SnapshotContent, damage: str) -> None:
    import faiss

    assert content.ranking is not None
    items = content.ranking.item_factors
    flat: Any = faiss.IndexFlatIP(items.shape[1])
    flat.add(items)
    data = {
        "other items": build(items[:-1], 8),
        "other factors": build(np.ascontiguousarray(items[:, :-1]), 8),
        "no index": np.arange(100, dtype=np.uint8),
        "another kind": faiss.serialize_index(flat),
    }[damage]
    index = ItemIndex(data, 4, 0.9)
    foreign = Recommender(opened(replace(content, ranking=replace(content.ranking, index=index))))
    with pytest.raises(DamagedSnapshot, match=r"ranking_index\.npy"):
        foreign.recommend("u1", 10)
