"""A snapshot of data without ratings: it ranks as any other, and predicts nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mfserve_registry.errors import FailedPrecondition
from mfserve_scoring import Basis, Head, Recommender
from mfserve_scoring.foldin import RankingFoldIn
from tests.registry.snapshot.samples import random_content, without_ratings
from tests.scoring.snapshots import opened

FULL = random_content(61, users=30, items=50)


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return Recommender(opened(without_ratings(FULL)))


@pytest.fixture(scope="module")
def full() -> Recommender:
    return Recommender(opened(FULL))


def test_recommendations_are_those_of_the_ranking_head(recommender: Recommender, full: Recommender) -> None:
    for user in ("u3", "u0", "nobody"):
        answer, expected = recommender.recommend(user, 12), full.recommend(user, 12)
        assert answer.item_indices.tolist() == expected.item_indices.tolist()
        assert answer.scores.tobytes() == expected.scores.tobytes()
        assert (answer.basis, answer.head) == (expected.basis, Head.RANKING)
        assert answer.predicted_ratings is None
    asked = [f"u{number}" for number in range(32)]  # u30 and u31 are unknown
    batch, expected_batch = recommender.recommend_many(asked, 7), full.recommend_many(asked, 7)
    assert batch.item_indices.tolist() == expected_batch.item_indices.tolist()
    assert batch.bases.tolist() == expected_batch.bases.tolist()
    assert batch.predicted_ratings is None


def test_the_ratings_in_a_history_mean_nothing(recommender: Recommender) -> None:
    items = ["i4", "i17", "i30"]
    answers = [
        recommender.recommend_history(list(zip(items, ratings, strict=True)), 9)
        for ratings in ([1.0, 1.0, 1.0], [5.0, -3.0, float("nan")], [0.0, 0.0, 1e30])
    ]
    for answer in answers:
        assert answer.item_indices.tolist() == answers[0].item_indices.tolist()
        assert answer.scores.tobytes() == answers[0].scores.tobytes()
        assert answer.basis is Basis.FOLD_IN
        assert answer.predicted_ratings is None
    assert not {4, 17, 30} & {*answers[0].item_indices.tolist()}


def test_a_history_without_ratings_is_one_of_the_highest(recommender: Recommender) -> None:
    """Every target is that of the training, where each row counted as much as a rating can."""
    ranking = FULL.ranking
    assert ranking is not None
    items = np.array([4, 17, 30], dtype=np.int32)
    highest = np.full(3, FULL.scale.maximum, dtype=np.float64)
    np.testing.assert_array_equal(
        RankingFoldIn(ranking, None).solve(items, np.zeros(3)),
        RankingFoldIn(ranking, FULL.scale).solve(items, highest),
    )


def test_no_rating_is_predicted(recommender: Recommender) -> None:
    for pair in (("u3", "i7"), ("nobody", "nothing")):
        with pytest.raises(FailedPrecondition) as caught:
            recommender.predict(*pair)
        assert (caught.value.reason, caught.value.metadata) == ("HEAD_MISSING", {"head": "RATING"})
    with pytest.raises(FailedPrecondition):
        recommender.predict_many([])


def test_the_rating_head_does_not_rank(recommender: Recommender) -> None:
    for ask in (
        lambda: recommender.recommend("u3", 5, head=Head.RATING),
        lambda: recommender.recommend_many(["u3"], 5, head=Head.RATING),
        lambda: recommender.recommend_history([("i1", 1.0)], 5, head=Head.RATING),
    ):
        with pytest.raises(FailedPrecondition, match="without a rating head"):
            ask()


def test_similar_items_are_those_of_the_ranking_head(recommender: Recommender, full: Recommender) -> None:
    answer, expected = recommender.similar_items("i5", 8), full.similar_items("i5", 8)
    assert answer.item_indices.tolist() == expected.item_indices.tolist()


def test_data_with_ratings_grade_a_history_also_without_a_rating_head() -> None:
    graded = Recommender(opened(replace(without_ratings(FULL), scale=FULL.scale)))
    liked, disliked = (graded.recommend_history([("i4", 5.0), ("i9", x)], 9) for x in (5.0, 1.0))
    assert liked.scores.tobytes() != disliked.scores.tobytes()
    assert liked.predicted_ratings is None
