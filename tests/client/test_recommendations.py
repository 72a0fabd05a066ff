"""Recommendations, ratings and similar items: what is sent, and what comes back."""

from __future__ import annotations

from typing import Any

import pytest

from mfserve.types import (
    Head,
    RatingBasis,
    RatingPrediction,
    Recommendation,
    RecommendationBasis,
    ServedVersion,
    SimilarItem,
)
from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from tests.client.conftest import Connect, Serve
from tests.client.services import VERSION

SERVED = ServedVersion("movies", 3, "d" * 64)


async def test_recommend(serve: Serve, connect: Connect) -> None:
    seen: list[pb.RecommendRequest] = []

    def recommend(request: pb.RecommendRequest, context: Any) -> Any:
        seen.append(request)
        return pb.RecommendResponse(
            recommendations=[
                pb.Recommendation(item_id="50", score=2.5, predicted_rating=4.5, title="Star Wars (1977)"),
                pb.Recommendation(item_id="181", score=2.25),
            ],
            basis=pb.RECOMMENDATION_BASIS_FOLD_IN,
            ranking_head=common_pb2.HEAD_RATING,
            served_version=VERSION,
        )

    client = connect(serve(Recommend=recommend).address)
    answer = await client.recommend(
        "movies",
        history={"50": 5, "181": 4.5},
        limit=2,
        exclude_item_ids={"1"},
        include_seen=True,
        ranking_head=Head.RATING,
        version=3,
    )
    assert list(answer) == [
        Recommendation("50", 2.5, 4.5, "Star Wars (1977)"),
        Recommendation("181", 2.25, None, None),
    ]
    assert len(answer) == 2
    assert answer[1] == answer[-1] == answer[1:][0]
    assert answer.basis is RecommendationBasis.FOLD_IN
    assert answer.ranking_head is Head.RATING
    assert answer.served_version == SERVED

    await client.recommend("movies", "196", alias="latest")
    await client.recommend("movies", history=[("50", 0.0)])
    await client.recommend("movies", history=["50", "181"])
    assert seen == [
        pb.RecommendRequest(
            model_spec=common_pb2.ModelSpec(model="movies", version=3),
            history=pb.History(
                ratings=[pb.RatedItem(item_id="50", rating=5), pb.RatedItem(item_id="181", rating=4.5)]
            ),
            limit=2,
            exclude_item_ids=["1"],
            include_seen=True,
            ranking_head=common_pb2.HEAD_RATING,
        ),
        pb.RecommendRequest(model_spec=common_pb2.ModelSpec(model="movies", alias="latest"), user_id="196"),
        pb.RecommendRequest(
            model_spec=common_pb2.ModelSpec(model="movies"),
            history=pb.History(ratings=[pb.RatedItem(item_id="50", rating=0)]),
        ),
        pb.RecommendRequest(
            model_spec=common_pb2.ModelSpec(model="movies"),
            history=pb.History(ratings=[pb.RatedItem(item_id="50"), pb.RatedItem(item_id="181")]),
        ),
    ]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({}, TypeError),
        ({"user_id": "1", "history": {"2": 3.0}}, TypeError),
        ({"user_id": "1", "version": 1, "alias": "production"}, TypeError),
        ({"user_id": "1", "ranking_head": "unknown"}, ValueError),
    ],
)
async def test_arguments_that_no_request_could_express(
    serve: Serve, connect: Connect, arguments: dict[str, Any], error: type[Exception]
) -> None:
    server = serve(Recommend=lambda request, context: pb.RecommendResponse())
    with pytest.raises(error):
        await connect(server.address).recommend("movies", **arguments)
    assert server.calls == []


async def test_what_is_empty_is_sent_for_the_server_to_judge(serve: Serve, connect: Connect) -> None:
    seen: list[pb.RecommendRequest] = []

    def keep(request: pb.RecommendRequest, context: Any) -> Any:
        seen.append(request)
        return pb.RecommendResponse()

    client = connect(serve(Recommend=keep).address)
    await client.recommend("", "", limit=0, version=0)
    await client.recommend("movies", history={})
    assert seen[0].WhichOneof("user") == "user_id"
    assert seen[0].HasField("limit")
    assert seen[0].model_spec.WhichOneof("choice") == "version"
    assert seen[1].WhichOneof("user") == "history"


async def test_values_of_a_newer_server_are_unknown(serve: Serve, connect: Connect) -> None:
    newer = pb.RecommendResponse.FromString(pb.RecommendResponse(served_version=VERSION).SerializeToString())
    newer.MergeFromString(b"\x10\x63\x18\x63")  # basis = 99, ranking_head = 99
    answer = await connect(serve(Recommend=lambda r, c: newer).address).recommend("movies", "1")
    assert answer.basis is RecommendationBasis.UNKNOWN
    assert answer.ranking_head is Head.UNKNOWN


async def test_predict_rating(serve: Serve, connect: Connect) -> None:
    def predict(request: pb.PredictRatingRequest, context: Any) -> Any:
        assert (request.user_id, request.item_id) == ("196", "242")
        return pb.PredictRatingResponse(rating=3.5, basis=pb.RATING_BASIS_ITEM_MEAN, served_version=VERSION)

    client = connect(serve(PredictRating=predict).address)
    assert await client.predict_rating("movies", "196", "242") == RatingPrediction(
        3.5, RatingBasis.ITEM_MEAN, SERVED
    )


async def test_predicted_ratings_come_with_deviations_where_the_engine_tells_them(
    serve: Serve, connect: Connect
) -> None:
    def predict(request: pb.PredictRatingRequest, context: Any) -> Any:
        return pb.PredictRatingResponse(
            rating=3.5, basis=pb.RATING_BASIS_MODEL, served_version=VERSION, rating_stddev=0.75
        )

    def predict_many(request: pb.BatchPredictRatingsRequest, context: Any) -> Any:
        return pb.BatchPredictRatingsResponse(
            ratings=[3.5, 4.0],
            bases=[pb.RATING_BASIS_MODEL, pb.RATING_BASIS_USER_MEAN],
            served_version=VERSION,
            rating_stddevs=[0.75, 0.0],
        )

    client = connect(serve(PredictRating=predict, BatchPredictRatings=predict_many).address)
    alone = await client.predict_rating("movies", "196", "242")
    assert alone == RatingPrediction(3.5, RatingBasis.MODEL, SERVED, 0.75)
    many = await client.batch_predict_ratings("movies", [("196", "242"), ("196", "new")])
    assert many == [alone, RatingPrediction(4.0, RatingBasis.USER_MEAN, SERVED, None)]


@pytest.mark.parametrize(
    ("count", "sizes"), [(0, [0]), (1, [1]), (10_000, [10_000]), (20_001, [10_000, 10_000, 1])]
)
async def test_many_pairs_are_answered_by_one_version(
    serve: Serve, connect: Connect, count: int, sizes: list[int]
) -> None:
    specs: list[str] = []
    seen: list[int] = []

    def predict(request: pb.BatchPredictRatingsRequest, context: Any) -> Any:
        specs.append(f"{request.model_spec.alias}{request.model_spec.version}")
        seen.append(len(request.pairs))
        return pb.BatchPredictRatingsResponse(
            ratings=[float(pair.item_id) for pair in request.pairs],
            bases=[pb.RATING_BASIS_MODEL] * len(request.pairs),
            served_version=VERSION,
        )

    client = connect(serve(BatchPredictRatings=predict).address)
    pairs = ((f"u{n}", str(n)) for n in range(count))
    answers = await client.batch_predict_ratings("movies", pairs, alias="candidate")
    assert [answer.rating for answer in answers] == [float(n) for n in range(count)]
    assert seen == sizes
    assert specs == ["candidate0", "3", "3"][: len(sizes)]


async def test_similar_items(serve: Serve, connect: Connect) -> None:
    def similar(request: pb.FindSimilarItemsRequest, context: Any) -> Any:
        assert request.limit == 1
        item = pb.SimilarItem(item_id="181", similarity=0.5, title="Return of the Jedi (1983)")
        return pb.FindSimilarItemsResponse(items=[item], title="Star Wars (1977)", served_version=VERSION)

    answer = await connect(serve(FindSimilarItems=similar).address).similar_items("movies", "50", limit=1)
    assert list(answer) == [SimilarItem("181", 0.5, "Return of the Jedi (1983)")]
    assert (answer.item_id, answer.title, answer.served_version) == ("50", "Star Wars (1977)", SERVED)
    assert answer[0] == answer[:1][0]
