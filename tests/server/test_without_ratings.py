"""A version of data without ratings, through every RPC that could show a rating."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from typing import Any

import grpc
import pytest

from mfserve.v1 import common_pb2, model_service_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry import Registry
from mfserve_registry.spec import NoRating, TrainingSpec
from tests.registry.snapshot.samples import random_content, without_ratings
from tests.server import oracle
from tests.server.calls import Server, failure
from tests.server.conftest import MakeServer
from tests.server.samples import FACTS, publish

MOVIES = common_pb2.ModelSpec(model="movies")
CONTENT = replace(
    without_ratings(random_content(3, users=20, items=40)),
    facts=FACTS
    | {
        "spec": TrainingSpec(rating=NoRating()).model_dump(mode="json"),
        "dataset": FACTS["dataset"] | {"scale": None},
        "metrics": FACTS["metrics"] | {"rating": []},
    },
)


@pytest.fixture
async def server(serve: MakeServer, registry: Registry) -> Server:
    publish(registry, content=CONTENT)
    return await serve()


async def test_recommendations_come_without_predicted_ratings(server: Server) -> None:
    answer = await server.recommendations.Recommend(pb.RecommendRequest(model_spec=MOVIES, user_id="u5"))
    scores = oracle.ranking_scores(CONTENT, 5)
    expected = oracle.best(CONTENT, scores, 10, oracle.seen(CONTENT, 5))
    assert [item.item_id for item in answer.recommendations] == expected
    assert not any(item.HasField("predicted_rating") for item in answer.recommendations)
    assert answer.ranking_head == common_pb2.HEAD_RANKING
    popular = await server.recommendations.Recommend(pb.RecommendRequest(model_spec=MOVIES, user_id="nobody"))
    assert popular.basis == pb.RECOMMENDATION_BASIS_POPULARITY
    assert not popular.recommendations[0].HasField("predicted_rating")


async def test_a_history_needs_no_ratings(server: Server) -> None:
    def asked(*ratings: float | None) -> Awaitable[Any]:
        items = [pb.RatedItem(item_id=f"i{n}", rating=rating) for n, rating in enumerate(ratings, 1)]
        history = pb.History(ratings=items)
        answer: Awaitable[Any] = server.recommendations.Recommend(
            pb.RecommendRequest(model_spec=MOVIES, history=history)
        )
        return answer

    first, second = await asked(None, None), await asked(99, -1)
    assert first == second
    assert first.basis == pb.RECOMMENDATION_BASIS_FOLD_IN


async def test_a_stream_has_an_empty_column(server: Server) -> None:
    async def messages() -> AsyncIterator[pb.StreamRecommendRequest]:
        yield pb.StreamRecommendRequest(config=pb.StreamRecommendConfig(model_spec=MOVIES))
        yield pb.StreamRecommendRequest(batch=pb.UserBatch(batch_id=1, user_ids=["u1", "nobody"]))

    _, answer = [response async for response in server.recommendations.StreamRecommend(messages())]
    assert list(answer.batch.predicted_ratings) == []
    assert len(answer.batch.scores) == sum(answer.batch.counts) == 20


async def test_what_needs_a_rating_head_is_refused_with_a_reason(server: Server) -> None:
    ask = server.recommendations
    pair = pb.UserItem(user_id="nobody", item_id="i1")
    head = common_pb2.HEAD_RATING
    config = pb.StreamRecommendConfig(model_spec=MOVIES, ranking_head=head)
    for call in (
        ask.PredictRating(pb.PredictRatingRequest(model_spec=MOVIES, user_id="u1", item_id="i1")),
        ask.BatchPredictRatings(pb.BatchPredictRatingsRequest(model_spec=MOVIES, pairs=[pair])),
        ask.Recommend(pb.RecommendRequest(model_spec=MOVIES, user_id="u1", ranking_head=head)),
        ask.StreamRecommend(iter([pb.StreamRecommendRequest(config=config)])).read(),
        server.models.GetEmbeddings(
            model_service_pb2.GetEmbeddingsRequest(
                model_spec=MOVIES, side=model_service_pb2.EMBEDDING_SIDE_ITEM, head=head
            )
        ).read(),
    ):
        refused = await failure(call)
        assert (refused.code, refused.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "HEAD_MISSING")
        assert refused.message == "Version 1 of model movies was trained without a rating head."
        assert refused.metadata == {"model": "movies", "version": "1", "head": "RATING"}


async def test_similar_items_and_embeddings_are_the_ranking_heads(server: Server) -> None:
    similar = await server.recommendations.FindSimilarItems(
        pb.FindSimilarItemsRequest(model_spec=MOVIES, item_id="i5")
    )
    assert len(similar.items) == 10
    request = model_service_pb2.GetEmbeddingsRequest(
        model_spec=MOVIES, side=model_service_pb2.EMBEDDING_SIDE_USER
    )
    (part,) = [part async for part in server.models.GetEmbeddings(request)]
    assert (part.header.head, part.header.count) == (common_pb2.HEAD_RANKING, 20)


async def test_the_version_says_that_there_were_no_ratings(server: Server) -> None:
    version = (
        await server.models.GetModelVersion(model_service_pb2.GetModelVersionRequest(model_spec=MOVIES))
    ).version
    assert not version.dataset.HasField("scale")
    assert version.spec.WhichOneof("rating") == "no_rating"
    assert list(version.evaluation.rating) == []
    assert len(version.evaluation.ranking) == 2
