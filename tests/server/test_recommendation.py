"""RecommendationService's unary calls, against brute force."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry import Registry
from mfserve_registry.snapshot import SnapshotContent
from mfserve_scoring import Basis, RatingBasis
from mfserve_scoring.deviations import deviations
from mfserve_server.scoring import work_of_pair
from tests.registry.snapshot.samples import FullContent, random_content, with_posterior
from tests.server import oracle
from tests.server.calls import Server, failure
from tests.server.conftest import MakeServer
from tests.server.samples import publish

MOVIES = common_pb2.ModelSpec(model="movies")


@pytest.fixture
def content() -> FullContent:
    return random_content(3, users=20, items=40)


@pytest.fixture
async def server(serve: MakeServer, registry: Registry, content: SnapshotContent) -> Server:
    publish(registry, content=content)
    return await serve()


def request(**fields: Any) -> pb.RecommendRequest:
    whole: dict[str, Any] = {"model_spec": MOVIES}
    if "history" not in fields:
        whole["user_id"] = "u5"
    return pb.RecommendRequest(**(whole | fields))


def history(*pairs: tuple[str, float]) -> pb.History:
    return pb.History(ratings=[pb.RatedItem(item_id=item, rating=rating) for item, rating in pairs])


async def test_recommend_is_what_brute_force_finds(server: Server, content: SnapshotContent) -> None:
    for user in range(20):
        response = await server.recommendations.Recommend(request(user_id=f"u{user}"))
        scores = oracle.ranking_scores(content, user)
        found = response.recommendations
        assert [item.item_id for item in found] == oracle.best(
            content, scores, 10, oracle.seen(content, user)
        )
        indices = [content.item_ids.index(item.item_id) for item in found]
        ratings = oracle.clipped(content, oracle.rating_scores(content, user))
        np.testing.assert_allclose([item.score for item in found], scores[indices], rtol=1e-6)
        np.testing.assert_allclose([item.predicted_rating for item in found], ratings[indices], rtol=1e-6)
        assert content.item_titles is not None
        assert [item.title for item in found] == [content.item_titles[index] for index in indices]
        assert response.basis == pb.RECOMMENDATION_BASIS_MODEL
        assert response.ranking_head == common_pb2.HEAD_RANKING


async def test_every_answer_names_its_version(server: Server, registry: Registry) -> None:
    version = registry.models.get_version("movies", 1)
    served = common_pb2.ServedVersion(model="movies", version=1, digest=version.digest)
    answers = [
        await server.recommendations.Recommend(request()),
        await server.recommendations.PredictRating(
            pb.PredictRatingRequest(model_spec=MOVIES, user_id="u1", item_id="i1")
        ),
        await server.recommendations.BatchPredictRatings(
            pb.BatchPredictRatingsRequest(model_spec=MOVIES, pairs=[pb.UserItem(user_id="u", item_id="i")])
        ),
        await server.recommendations.FindSimilarItems(
            pb.FindSimilarItemsRequest(model_spec=MOVIES, item_id="i1")
        ),
    ]
    assert [answer.served_version for answer in answers] == [served] * 4


async def test_seen_items_come_back_only_if_asked_for_and_excluded_ones_never(
    server: Server, content: FullContent
) -> None:
    scores = oracle.ranking_scores(content, 5)
    everything = await server.recommendations.Recommend(request(limit=1000, include_seen=True))
    ids = [item.item_id for item in everything.recommendations]
    assert ids == oracle.best(content, scores, 1000, set())
    without = await server.recommendations.Recommend(
        request(limit=1000, include_seen=True, exclude_item_ids=[*ids[:3], "unknown"])
    )
    assert [item.item_id for item in without.recommendations] == ids[3:]
    nothing = await server.recommendations.Recommend(request(exclude_item_ids=content.item_ids))
    assert len(nothing.recommendations) == 0
    assert nothing.served_version.version == 1


async def test_the_rating_head_ranks_if_asked_to(server: Server, content: SnapshotContent) -> None:
    response = await server.recommendations.Recommend(request(ranking_head=common_pb2.HEAD_RATING, limit=5))
    scores = oracle.rating_scores(content, 5)
    ids = [item.item_id for item in response.recommendations]
    assert ids == oracle.best(content, scores, 5, oracle.seen(content, 5))
    assert response.ranking_head == common_pb2.HEAD_RATING


async def test_a_version_without_a_ranking_head_ranks_by_the_other_and_says_so(
    server: Server, registry: Registry
) -> None:
    publish(registry, "plain", content=random_content(4, ranking=False, titles=False))
    plain = common_pb2.ModelSpec(model="plain")
    response = await server.recommendations.Recommend(request(model_spec=plain, user_id="u1"))
    assert response.ranking_head == common_pb2.HEAD_RATING
    assert {item.title for item in response.recommendations} == {""}
    found = await failure(
        server.recommendations.Recommend(request(model_spec=plain, ranking_head=common_pb2.HEAD_RANKING))
    )
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "HEAD_MISSING")
    assert found.metadata == {"model": "plain", "version": "1", "head": "RANKING"}
    assert found.fields == ["ranking_head"]


async def test_an_unknown_user_gets_what_is_popular_and_is_told_so(
    server: Server, content: FullContent
) -> None:
    response = await server.recommendations.Recommend(request(user_id="nobody"))
    counts = content.item_counts.astype(np.float64)
    assert [item.item_id for item in response.recommendations] == oracle.best(content, counts, 10, set())
    assert response.basis == pb.RECOMMENDATION_BASIS_POPULARITY
    assert response.ranking_head == common_pb2.HEAD_UNSPECIFIED


async def test_a_history_is_folded_in(server: Server) -> None:
    rated = history(("i1", 5.0), ("i2", 1.0), ("unknown", 3.0))
    response = await server.recommendations.Recommend(request(history=rated, limit=1000))
    assert response.basis == pb.RECOMMENDATION_BASIS_FOLD_IN
    ids = {item.item_id for item in response.recommendations}
    assert len(ids) == 38
    assert not ids & {"i1", "i2"}
    popular = await server.recommendations.Recommend(request(history=history(("unknown", 3.0))))
    assert popular.basis == pb.RECOMMENDATION_BASIS_POPULARITY


async def test_ratings_are_predicted_and_say_what_they_rest_on(server: Server, content: FullContent) -> None:
    pairs = [("u3", "i7"), ("u3", "unknown"), ("nobody", "i7"), ("nobody", "unknown")]
    expected = [
        oracle.clipped(content, oracle.rating_scores(content, 3))[7],
        content.user_means[3],
        content.item_means[7],
        content.mean_rating,
    ]
    bases = [
        pb.RATING_BASIS_MODEL,
        pb.RATING_BASIS_USER_MEAN,
        pb.RATING_BASIS_ITEM_MEAN,
        pb.RATING_BASIS_GLOBAL_MEAN,
    ]
    batch = await server.recommendations.BatchPredictRatings(
        pb.BatchPredictRatingsRequest(
            model_spec=MOVIES, pairs=[pb.UserItem(user_id=user, item_id=item) for user, item in pairs]
        )
    )
    np.testing.assert_allclose(batch.ratings, expected, rtol=1e-6)
    assert list(batch.bases) == bases
    for (user, item), rating, basis in zip(pairs, batch.ratings, bases, strict=True):
        single = await server.recommendations.PredictRating(
            pb.PredictRatingRequest(model_spec=MOVIES, user_id=user, item_id=item)
        )
        assert (single.rating, single.basis) == (rating, basis)


async def test_a_bayesian_engine_tells_how_far_a_rating_may_lie_from_its_prediction(
    server: Server, registry: Registry
) -> None:
    content = with_posterior(random_content(5))
    publish(registry, "bayes", content=content)
    bayes = common_pb2.ModelSpec(model="bayes")
    expected = deviations(content.rating.posterior, np.array([0]), np.array([1]))  # type: ignore[arg-type]
    single = await server.recommendations.PredictRating(
        pb.PredictRatingRequest(model_spec=bayes, user_id="u0", item_id="i1")
    )
    assert single.rating_stddev == pytest.approx(expected[0], rel=1e-6)
    pairs = [pb.UserItem(user_id="u0", item_id=item) for item in ("i1", "nothing")]
    batch = await server.recommendations.BatchPredictRatings(
        pb.BatchPredictRatingsRequest(model_spec=bayes, pairs=pairs)
    )
    assert list(batch.rating_stddevs) == [single.rating_stddev, 0]
    for model_spec, item in ((bayes, "nothing"), (MOVIES, "i1")):
        without = await server.recommendations.PredictRating(
            pb.PredictRatingRequest(model_spec=model_spec, user_id="u0", item_id=item)
        )
        assert not without.HasField("rating_stddev")
    plain = await server.recommendations.BatchPredictRatings(
        pb.BatchPredictRatingsRequest(model_spec=MOVIES, pairs=pairs)
    )
    assert not plain.rating_stddevs


async def test_ten_thousand_pairs_of_long_ids_are_taken(server: Server) -> None:
    pairs = [pb.UserItem(user_id="u" * 256, item_id="i" * 256)] * 10_000
    response = await server.recommendations.BatchPredictRatings(
        pb.BatchPredictRatingsRequest(model_spec=MOVIES, pairs=pairs)
    )
    assert len(response.ratings) == 10_000


async def test_similar_items_are_those_of_the_smallest_angle(server: Server, content: FullContent) -> None:
    response = await server.recommendations.FindSimilarItems(
        pb.FindSimilarItemsRequest(model_spec=MOVIES, item_id="i4", limit=5)
    )
    assert content.ranking is not None
    vectors = content.ranking.item_factors.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors[4]
    assert [item.item_id for item in response.items] == oracle.best(content, cosines, 5, {4})
    assert response.items[0].similarity == pytest.approx(
        cosines[int(response.items[0].item_id[1:])], rel=1e-6
    )
    assert response.title == "Film 4 – été"


@pytest.mark.parametrize(
    ("method", "fields", "field"),
    [
        ("Recommend", {"limit": 0}, "limit"),
        ("Recommend", {"limit": 1001}, "limit"),
        ("Recommend", {"limit": -1}, "limit"),
        ("Recommend", {"user_id": ""}, "user_id"),
        ("Recommend", {"user_id": "x" * 257}, "user_id"),
        ("Recommend", {"user_id": "é" * 129}, "user_id"),
        ("Recommend", {"exclude_item_ids": ["i1", ""]}, "exclude_item_ids[1]"),
        ("Recommend", {"exclude_item_ids": ["i1"] * 10_001}, "exclude_item_ids"),
        ("Recommend", {"history": pb.History()}, "history.ratings"),
        ("Recommend", {"history": history(*[("i1", 1.0)] * 10_001)}, "history.ratings"),
        ("Recommend", {"history": history(("i1", 1.0), ("", 1.0))}, "history.ratings[1].item_id"),
        ("Recommend", {"history": history(("i1", 5.5))}, "history.ratings[0].rating"),
        ("Recommend", {"history": history(("i1", float("nan")))}, "history.ratings[0].rating"),
        (
            "Recommend",
            {
                "history": pb.History(
                    ratings=[pb.RatedItem(item_id="i1", rating=1), pb.RatedItem(item_id="i2")]
                )
            },
            "history.ratings[1].rating",
        ),
        ("Recommend", {"ranking_head": 9}, "ranking_head"),
        ("PredictRating", {"user_id": "u1"}, "item_id"),
        ("PredictRating", {"item_id": "i1"}, "user_id"),
        ("BatchPredictRatings", {}, "pairs"),
        ("BatchPredictRatings", {"pairs": [pb.UserItem(user_id="u", item_id="i")] * 10_001}, "pairs"),
        ("BatchPredictRatings", {"pairs": [pb.UserItem(user_id="u")]}, "pairs[0].item_id"),
        ("FindSimilarItems", {}, "item_id"),
        ("FindSimilarItems", {"item_id": "i1", "limit": 0}, "limit"),
    ],
)
async def test_a_wrong_field_is_named(
    method: str, fields: dict[str, Any], field: str, server: Server
) -> None:
    if method == "Recommend":
        message = request(**fields)
    else:
        message = getattr(pb, f"{method}Request")(model_spec=MOVIES, **fields)
    found = await failure(getattr(server.recommendations, method)(message))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert found.fields == [field]


async def test_somebody_must_be_recommended_to(server: Server) -> None:
    found = await failure(server.recommendations.Recommend(pb.RecommendRequest(model_spec=MOVIES)))
    assert (found.reason, found.fields) == ("INVALID_FIELD", ["user"])


async def test_the_longest_ids_are_taken(server: Server) -> None:
    for user_id in ("x" * 256, "é" * 128, "𝄞" * 64):
        response = await server.recommendations.Recommend(request(user_id=user_id))
        assert response.basis == pb.RECOMMENDATION_BASIS_POPULARITY


@pytest.mark.parametrize(
    ("spec", "code", "reason", "field", "metadata"),
    [
        ({}, "INVALID_ARGUMENT", "INVALID_FIELD", "model_spec.model", {}),
        ({"model": "No"}, "INVALID_ARGUMENT", "INVALID_FIELD", "model_spec.model", {}),
        ({"model": "movies", "alias": ""}, "INVALID_ARGUMENT", "INVALID_FIELD", "model_spec.alias", {}),
        ({"model": "movies", "version": 0}, "INVALID_ARGUMENT", "INVALID_FIELD", "model_spec.version", {}),
        ({"model": "none"}, "NOT_FOUND", "MODEL_NOT_FOUND", "model_spec.model", {"model": "none"}),
        (
            {"model": "movies", "version": 7},
            "NOT_FOUND",
            "VERSION_NOT_FOUND",
            "model_spec.version",
            {"model": "movies", "version": "7"},
        ),
        (
            {"model": "movies", "alias": "candidate"},
            "NOT_FOUND",
            "ALIAS_NOT_FOUND",
            "model_spec.alias",
            {"model": "movies", "alias": "candidate"},
        ),
    ],
)
async def test_a_name_that_leads_nowhere_is_told(
    spec: dict[str, Any], code: str, reason: str, field: str, metadata: dict[str, str], server: Server
) -> None:
    found = await failure(server.recommendations.Recommend(request(model_spec=common_pb2.ModelSpec(**spec))))
    assert (found.code.name, found.reason, found.fields) == (code, reason, [field])
    assert found.metadata == metadata


async def test_an_unknown_item_has_nothing_similar(server: Server) -> None:
    found = await failure(
        server.recommendations.FindSimilarItems(pb.FindSimilarItemsRequest(model_spec=MOVIES, item_id="9999"))
    )
    assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "ITEM_NOT_FOUND")
    assert found.metadata["item_id"] == "9999"


def test_scoring_and_api_number_their_bases_alike() -> None:
    for basis in Basis:
        assert (
            pb.RecommendationBasis.Name(pb.RecommendationBasis.ValueType(basis))
            == f"RECOMMENDATION_BASIS_{basis.name}"
        )
    for rating_basis in RatingBasis:
        assert (
            pb.RatingBasis.Name(pb.RatingBasis.ValueType(rating_basis)) == f"RATING_BASIS_{rating_basis.name}"
        )


def test_the_work_of_a_predicted_rating_grows_with_the_samples() -> None:
    """By it the event loop decides what it hands over to the scoring thread."""
    content = random_content(2)
    plain = work_of_pair(content.rating)
    few, many = (
        work_of_pair(with_posterior(content, samples=samples, factors=12).rating) for samples in (10, 40)
    )
    assert few - plain >= 10 * 13
    assert many - plain == 4 * (few - plain)
