"""RecommendationService."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_server.catalog import Catalog
from mfserve_server.conversions.recommendations import (
    rating_response,
    ratings_response,
    recommend_response,
    similar_response,
)
from mfserve_server.executors import Executors
from mfserve_server.names import loaded_version
from mfserve_server.scoring import Scoring
from mfserve_server.streaming import recommend_stream


class RecommendationService:
    """Answers from loaded versions. Each call takes one and keeps it to its end."""

    def __init__(self, catalog: Catalog, executors: Executors) -> None:
        self._catalog = catalog
        self._executors = executors
        self._scoring = Scoring(executors)

    async def Recommend(self, request: pb.RecommendRequest) -> pb.RecommendResponse:
        loaded = await loaded_version(self._catalog, request.model_spec)
        return recommend_response(loaded, await self._scoring.recommend(loaded, request))

    async def StreamRecommend(
        self, requests: AsyncIterator[pb.StreamRecommendRequest]
    ) -> AsyncGenerator[bytes, None]:
        async with aclosing(recommend_stream(requests, self._catalog, self._executors)) as responses:
            async for response in responses:
                yield response

    async def PredictRating(self, request: pb.PredictRatingRequest) -> pb.PredictRatingResponse:
        loaded = await loaded_version(self._catalog, request.model_spec)
        return rating_response(loaded, await self._scoring.predict(loaded, request))

    async def BatchPredictRatings(
        self, request: pb.BatchPredictRatingsRequest
    ) -> pb.BatchPredictRatingsResponse:
        loaded = await loaded_version(self._catalog, request.model_spec)
        return ratings_response(loaded, await self._scoring.predict_many(loaded, request.pairs))

    async def FindSimilarItems(self, request: pb.FindSimilarItemsRequest) -> pb.FindSimilarItemsResponse:
        loaded = await loaded_version(self._catalog, request.model_spec)
        return similar_response(loaded, request.item_id, await self._scoring.similar(loaded, request))
