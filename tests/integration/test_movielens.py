"""The whole path on all 100,000 ratings: what was trained, what is answered, and that it is right."""

from __future__ import annotations

from itertools import groupby

import pytest

from mfserve import Client
from mfserve.types import (
    Head,
    JobState,
    Ranker,
    RatingBasis,
    RatingPredictor,
    RecommendationBasis,
    TrainingStage,
)
from tests.integration.conftest import MovieLens


def test_train_publishes_what_it_was_asked_for(movielens: MovieLens) -> None:
    version = movielens.version
    facts = version.dataset
    assert (facts.name, facts.ratings, facts.users, facts.items) == ("movielens-100k", 100_000, 943, 1682)
    # As the data's README says: from September 19th, 1997 through April 22nd, 1998.
    assert facts.first_rating_time is not None
    assert facts.last_rating_time is not None
    assert (facts.first_rating_time.year, facts.first_rating_time.month) == (1997, 9)
    assert (facts.last_rating_time.year, facts.last_rating_time.month) == (1998, 4)
    assert version.aliases == ("production",)
    assert version.version == 1


def test_training_reports_every_epoch_of_every_stage_once(movielens: MovieLens) -> None:
    assert [step.sequence for step in movielens.progress] == list(range(1, len(movielens.progress) + 1))
    stages = [stage for stage, _ in groupby(movielens.progress, key=lambda step: step.stage)]
    not_asked_for = {
        TrainingStage.UNKNOWN,
        TrainingStage.TUNING_RATING,
        TrainingStage.TUNING_RANKING,
        TrainingStage.INDEXING,
    }
    assert set(stages) == set(TrainingStage) - not_asked_for
    assert len(stages) == len(set(stages))
    assert (stages[0], stages[-1]) == (TrainingStage.LOADING, TrainingStage.PUBLISHING)
    for stage, steps in groupby(movielens.progress, key=lambda step: step.stage):
        epochs = [step.epoch for step in steps]
        assert epochs == list(range(len(epochs))), stage


def test_the_last_message_about_a_job_tells_its_end_and_its_latest_progress(movielens: MovieLens) -> None:
    assert (movielens.job.state, movielens.job.version) == (JobState.SUCCEEDED, 1)
    assert movielens.job.progress == movielens.progress[-1]


def test_both_heads_beat_their_baselines_on_the_holdout(movielens: MovieLens) -> None:
    evaluation = movielens.version.evaluation
    assert evaluation is not None
    errors = {metrics.predictor: metrics.mse for metrics in evaluation.rating}
    assert errors[RatingPredictor.RATING_HEAD] < 0.80
    assert errors[RatingPredictor.GLOBAL_MEAN] > 1.2
    quality = {metrics.ranker: metrics.ndcg_at_10 for metrics in evaluation.ranking}
    assert quality[Ranker.RANKING_HEAD] > 0.38
    assert quality[Ranker.RATING_HEAD] < quality[Ranker.POPULARITY] < 0.23


def test_recommend_equals_brute_force_for_every_user(client: Client, movielens: MovieLens) -> None:
    oracle = movielens.oracle()
    rows = client.stream_recommend("movies", oracle.users, limit=10)
    assert {row.user_id: [item.item_id for item in row] for row in rows} == {
        user: oracle.recommend(user, 10) for user in oracle.users
    }


@pytest.mark.parametrize("head", ["ranking", "rating"])
@pytest.mark.parametrize("include_seen", [True, False])
def test_recommend_equals_brute_force_with_each_option(
    client: Client, movielens: MovieLens, head: str, include_seen: bool
) -> None:
    oracle = movielens.oracle()
    for user in ("1", "196", "405", "943"):
        found = client.recommend(
            "movies", user, limit=1000, ranking_head=Head(head), include_seen=include_seen
        )
        assert [item.item_id for item in found] == oracle.recommend(
            user, 1000, head=head, include_seen=include_seen
        )
        assert found.served_version.digest == movielens.version.digest
        scores = [item.score for item in found]
        assert scores == sorted(scores, reverse=True)
        for item in found[:20]:
            assert item.predicted_rating == pytest.approx(oracle.predict(user, item.item_id), abs=1e-5)


def test_stream_recommend_equals_unary_recommend_item_by_item(client: Client, movielens: MovieLens) -> None:
    users = movielens.oracle().users
    assert len(users) == 943
    streamed = {row.user_id: list(row) for row in client.stream_recommend("movies", users, limit=10)}
    assert streamed == {user: list(client.recommend("movies", user, limit=10)) for user in users}


def test_predict_rating_equals_the_arithmetic(client: Client, movielens: MovieLens) -> None:
    oracle = movielens.oracle()
    pairs = [(user, item) for user in oracle.users[::90] for item in oracle.items[::150]]
    expected = [oracle.predict(user, item) for user, item in pairs]
    many = client.batch_predict_ratings("movies", pairs)
    assert [one.rating for one in many] == pytest.approx(expected, abs=1e-5)
    assert {one.basis for one in many} == {RatingBasis.MODEL}
    assert client.predict_rating("movies", *pairs[7]) == many[7]


def test_deviations_are_those_of_the_samples(client: Client, movielens: MovieLens) -> None:
    oracle = movielens.oracle()
    pairs = [(user, item) for user in oracle.users[::190] for item in oracle.items[::350]]
    for (user, item), found in zip(pairs, client.batch_predict_ratings("movies", pairs), strict=True):
        assert found.stddev == pytest.approx(oracle.deviation(user, item), rel=1e-4)


def test_unknown_user_gets_what_is_popular_and_is_told_so(client: Client, movielens: MovieLens) -> None:
    found = client.recommend("movies", "nobody", limit=3)
    assert found.basis is RecommendationBasis.POPULARITY
    # Star Wars (583 ratings), Contact (509), Fargo (508), as the data's README counts them.
    assert [(item.item_id, item.score) for item in found] == [("50", 583), ("258", 509), ("100", 508)]
    assert found[0].title == "Star Wars (1977)"


def test_history_of_an_unseen_user_is_folded_in(client: Client) -> None:
    taste = {"50": 5.0, "172": 5.0, "181": 5.0}  # Star Wars, The Empire Strikes Back, Return of the Jedi
    found = client.recommend("movies", history=taste, limit=10)
    assert found.basis is RecommendationBasis.FOLD_IN
    assert not {item.item_id for item in found} & taste.keys()
    assert {"174", "173"} & {item.item_id for item in found}  # Raiders of the Lost Ark, The Princess Bride


def test_similar_items_are_similar(client: Client) -> None:
    found = client.similar_items("movies", "50", limit=5)
    assert {"172", "181"} <= {item.item_id for item in found}
    assert all(-1 <= item.similarity <= 1 for item in found)


def test_embeddings_are_the_snapshots(client: Client, movielens: MovieLens) -> None:
    oracle = movielens.oracle()
    found = client.get_embeddings("movies", "item", head="rating")
    assert list(found.ids) == oracle.items
    assert found.values.tobytes() == oracle.array("rating_item_factors").tobytes()
    assert found.biases is not None
    assert found.biases.tobytes() == oracle.array("rating_item_biases").tobytes()
