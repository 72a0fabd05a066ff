"""Recommendations and predictions from real snapshots, against the oracle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mfserve_registry.errors import FailedPrecondition, InvalidArgument
from mfserve_registry.snapshot import Snapshot, SnapshotContent
from mfserve_scoring import (
    Basis,
    Head,
    RatingBasis,
    RecommendationBatch,
    Recommendations,
    Recommender,
)
from mfserve_scoring.exact import to_float32
from tests.registry.snapshot.samples import random_content, rating_of
from tests.scoring.oracle import best, scores_of
from tests.scoring.snapshots import means_of, opened, predicted_by
from tests.scoring.strategies import matrices


@pytest.fixture(scope="module")
def snapshot() -> Snapshot:
    return opened(random_content(41, users=40, items=90, factors=6))


@pytest.fixture(scope="module")
def recommender(snapshot: Snapshot) -> Recommender:
    return Recommender(snapshot)


def parts_of(batch: RecommendationBatch) -> list[Recommendations]:
    assert batch.predicted_ratings is not None
    assert len(batch.counts) == len(batch.bases)
    ends = np.cumsum(batch.counts)
    return [
        Recommendations(
            batch.item_indices[end - count : end],
            batch.scores[end - count : end],
            batch.predicted_ratings[end - count : end],
            Basis(basis),
            batch.head,
        )
        for end, count, basis in zip(ends, batch.counts, batch.bases, strict=True)
    ]


def bits(answer: Recommendations) -> tuple[Any, ...]:
    arrays = (answer.item_indices, answer.scores, predicted_by(answer))
    assert [array.dtype for array in arrays] == [np.int32, np.float32, np.float32]
    return *(array.tobytes() for array in arrays), answer.basis, answer.head


def unclipped(snapshot: Snapshot, user: int) -> NDArray[np.float64]:
    head = rating_of(snapshot)
    offset = head.intercept + float(head.user_biases[user])
    return scores_of(head.user_factors[user], head.item_factors, head.item_biases, offset)


def oracle_scores(snapshot: Snapshot, user: int, head: Head) -> NDArray[np.float64]:
    if head is Head.RATING or snapshot.ranking is None:
        return unclipped(snapshot, user)
    return scores_of(snapshot.ranking.user_factors[user], snapshot.ranking.item_factors)


@st.composite
def hard_contents(draw: st.DrawFn) -> SnapshotContent:
    """Contents whose factors are hard to rank."""
    users, items = draw(st.integers(1, 8)), draw(st.integers(1, 30))
    k, m = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    content = random_content(draw(st.integers(0, 2**32 - 1)), users=users, items=items, factors=k)
    assert content.ranking is not None
    rating = replace(
        content.rating,
        user_factors=draw(matrices(st.just(users), k)),
        item_factors=draw(matrices(st.just(items), k)),
    )
    ranking = replace(
        content.ranking,
        user_factors=draw(matrices(st.just(users), m)),
        item_factors=draw(matrices(st.just(items), m)),
    )
    return replace(content, rating=rating, ranking=ranking if draw(st.booleans()) else None)


@settings(max_examples=150, deadline=None)
@given(hard_contents(), st.data())
def test_recommend_is_the_oracle_and_the_row_of_recommend_many(
    content: SnapshotContent, data: st.DataObject
) -> None:
    snapshot = opened(content)
    recommender = Recommender(snapshot)
    users, items = len(snapshot.users), len(snapshot.items)
    limit = data.draw(st.integers(1, items + 2))
    include_seen = data.draw(st.booleans())
    head = data.draw(st.sampled_from([Head.DEFAULT, Head.RATING]))
    known = [f"i{number}" for number in range(items)]
    exclude = data.draw(st.lists(st.sampled_from([*known, "unknown", "\ud800"])) | st.just(known))
    asked = data.draw(
        st.lists(st.sampled_from([f"u{number}" for number in range(users)] + ["?"]), max_size=9)
    )
    options: dict[str, Any] = {"exclude_item_ids": exclude, "include_seen": include_seen, "head": head}

    batch = recommender.recommend_many(asked, limit, **options)
    assert len(batch.counts) == len(asked)
    for user_id, row in zip(asked, parts_of(batch), strict=True):
        alone = recommender.recommend(user_id, limit, **options)
        assert bits(alone) == bits(row)
        left_out = {snapshot.items.index(item) for item in exclude}
        user = snapshot.users.index(user_id)
        if user >= 0 and not include_seen:
            left_out |= {*snapshot.rated.of(user).tolist()}
        if alone.basis is Basis.MODEL:
            scores = oracle_scores(snapshot, user, head)
            predicted = unclipped(snapshot, user).clip(1, 5)
        else:
            assert user < 0 or not oracle_scores(snapshot, user, head).any()
            scores = snapshot.item_counts.astype(np.float64)
            predicted = means_of(snapshot)[1].clip(1, 5).astype(np.float64)
        expected = best(scores, limit, left_out)
        assert alone.item_indices.tolist() == expected
        assert alone.scores.tobytes() == to_float32(scores[expected]).tobytes()
        assert predicted_by(alone).tobytes() == predicted[expected].astype(np.float32).tobytes()


def test_a_large_batch_equals_single_answers(snapshot: Snapshot, recommender: Recommender) -> None:
    asked = [f"u{number % 43}" for number in range(700)]  # u40 to u42 are unknown
    rows = parts_of(recommender.recommend_many(asked, 7))
    assert [bits(row) for row in rows] == [bits(recommender.recommend(user, 7)) for user in asked]
    assert {row.basis for row in rows} == {Basis.MODEL, Basis.POPULARITY}


def test_predictions_can_be_left_out(recommender: Recommender) -> None:
    full = recommender.recommend_many(["u1", "?", "u2"], 5)
    bare = recommender.recommend_many(["u1", "?", "u2"], 5, predict=False)
    assert bare.predicted_ratings is None
    assert bare.item_indices.tolist() == full.item_indices.tolist()
    assert bare.scores.tobytes() == full.scores.tobytes()


def test_seen_items_stay_out_unless_asked_for(snapshot: Snapshot, recommender: Recommender) -> None:
    seen = set(snapshot.rated.of(3).tolist())
    assert seen
    without = recommender.recommend("u3", 1000)
    assert len(without.item_indices) == 90 - len(seen)
    assert not seen & set(without.item_indices.tolist())
    everything = recommender.recommend("u3", 1000, include_seen=True)
    assert sorted(everything.item_indices.tolist()) == list(range(90))


def test_an_unknown_user_gets_the_most_rated_items(snapshot: Snapshot, recommender: Recommender) -> None:
    answer = recommender.recommend("nobody", 5, exclude_item_ids=["i4"])
    assert answer.basis is Basis.POPULARITY
    expected = best(snapshot.item_counts, 5, [4])
    assert answer.item_indices.tolist() == expected
    assert answer.scores.tolist() == snapshot.item_counts[expected].tolist()
    assert predicted_by(answer).tolist() == means_of(snapshot)[1][expected].clip(1, 5).tolist()


def test_a_user_without_embedding_gets_the_most_rated_items() -> None:
    """A ranking head that has learnt nothing of a user would otherwise answer in the order of the index."""
    content = random_content(42)
    assert content.ranking is not None
    factors = content.ranking.user_factors.copy()
    factors[2] = 0
    snapshot = opened(replace(content, ranking=replace(content.ranking, user_factors=factors)))
    recommender = Recommender(snapshot)
    answer = recommender.recommend("u2", 3)
    assert answer.basis is Basis.POPULARITY
    assert answer.item_indices.tolist() == best(snapshot.item_counts, 3, snapshot.rated.of(2))
    assert recommender.recommend("u2", 3, head=Head.RATING).basis is Basis.MODEL


@pytest.mark.parametrize("limit", [0, -1, 1001, 2**40])
def test_a_limit_out_of_range_names_the_field(recommender: Recommender, limit: int) -> None:
    calls = (
        lambda: recommender.recommend("u1", limit),
        lambda: recommender.recommend_history([("i1", 3.0)], limit),
        lambda: recommender.recommend_many(["u1"], limit),
        lambda: recommender.similar_items("i1", limit),
    )
    for call in calls:
        with pytest.raises(InvalidArgument) as caught:
            call()
        assert caught.value.field == "limit"


def test_a_missing_head_is_reported() -> None:
    recommender = Recommender(opened(random_content(43, ranking=False)))
    with pytest.raises(FailedPrecondition) as caught:
        recommender.recommend("u1", 3, head=Head.RANKING)
    assert caught.value.reason == "HEAD_MISSING"
    assert recommender.recommend("u1", 3).head is Head.RATING
    assert recommender.recommend_many(["u1"], 3).head is Head.RATING


def test_ranking_by_the_rating_head_scores_with_the_unclipped_rating(recommender: Recommender) -> None:
    answer = recommender.recommend("u5", 10, head=Head.RATING)
    assert answer.head is Head.RATING
    assert (answer.scores > 5).any()
    assert answer.scores.clip(1, 5).tobytes() == predicted_by(answer).tobytes()


def test_every_case_of_a_prediction(snapshot: Snapshot, recommender: Recommender) -> None:
    pairs = [("u1", "i2"), ("u1", "?"), ("?", "i2"), ("?", "?"), ("u0", "i0"), ("", "\ud800")]
    found = recommender.predict_many(pairs)
    model = [float(np.float32(unclipped(snapshot, user)[item].clip(1, 5))) for user, item in ((1, 2), (0, 0))]
    user_means, item_means = means_of(snapshot)
    user_mean, item_mean = user_means[1].clip(1, 5), item_means[2].clip(1, 5)
    assert found.ratings.tolist() == [model[0], user_mean, item_mean, 3.5, model[1], 3.5]
    assert found.bases.tolist() == [1, 2, 3, 4, 1, 4]
    assert found.ratings.dtype == np.float32
    for pair, rating, basis in zip(pairs, found.ratings, found.bases, strict=True):
        single = recommender.predict(*pair)
        assert (single.rating, single.basis) == (float(rating), RatingBasis(basis))
    empty = recommender.predict_many([])
    assert (len(empty.ratings), len(empty.bases)) == (0, 0)


def test_predictions_are_clipped_to_the_scale(snapshot: Snapshot, recommender: Recommender) -> None:
    pairs = [(user, item) for user in snapshot.users for item in snapshot.items]
    ratings = recommender.predict_many(pairs).ratings
    assert ratings.min() == 1
    assert ratings.max() == 5


def test_a_recommendation_shows_the_rating_that_predict_gives(
    snapshot: Snapshot, recommender: Recommender
) -> None:
    answer = recommender.recommend("u9", 20)
    ids = snapshot.items.take(answer.item_indices)
    assert recommender.predict_many([("u9", item) for item in ids]).ratings.tobytes() == (
        predicted_by(answer).tobytes()
    )


def test_answers_are_the_callers_own(snapshot: Snapshot, recommender: Recommender) -> None:
    before = bits(recommender.recommend("?", 90))
    for user in ("u1", "?"):
        answer = recommender.recommend(user, 90)
        for array in (answer.item_indices, answer.scores, predicted_by(answer)):
            array[...] = 7
    assert bits(recommender.recommend("?", 90)) == before


def test_the_enums_have_the_numbers_that_the_format_of_answers_uses() -> None:
    assert [*Basis] == [1, 2, 3]
    assert [*RatingBasis] == [1, 2, 3, 4]
