"""RecommendationService."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_server.answering import Answers, one_by_one
from mfserve_server.catalog import Catalog
from mfserve_server.conversions.recommendations import (
    rating_response,
    ratings_response,
    similar_response,
)
from mfserve_server.executors import Executors
from mfserve_server.kept import KeptReplies
from mfserve_server.loading import LoadedVersion
from mfserve_server.metrics.layout import STREAM_USERS
from mfserve_server.metrics.page import Page
from mfserve_server.names import loaded_version
from mfserve_server.scoring import Scoring
from mfserve_server.shadowing import Shadowing
from mfserve_server.streaming import recommend_stream


class RecommendationService:
    """Answers from loaded versions. Each call takes one and keeps it to its end."""

    def __init__(
        self,
        catalog: Catalog,
        executors: Executors,
        scoring: Scoring,
        kept: KeptReplies,
        shadowing: Shadowing,
        page: Page,
    ) -> None:
        self._stream_users = page.counter(STREAM_USERS)
        self._catalog = catalog
        self._executors = executors
        self._scoring = scoring
        self.Recommend = Answers(
            pb.RecommendRequest, scoring.recommend_each, catalog, kept, shadowing, scoring.sheds
        )
        self.PredictRating = Answers(pb.PredictRatingRequest, one_by_one(self._predict), catalog, kept)
        self.FindSimilarItems = Answers(pb.FindSimilarItemsRequest, one_by_one(self._similar), catalog, kept)

    async def StreamRecommend(
        self, requests: AsyncIterator[pb.StreamRecommendRequest]
    ) -> AsyncGenerator[bytes, None]:
        stream = recommend_stream(requests, self._catalog, self._executors, self._stream_users.add)
        async with aclosing(stream) as responses:
            async for response in responses:
                yield response

    async def BatchPredictRatings(
        self, request: pb.BatchPredictRatingsRequest
    ) -> pb.BatchPredictRatingsResponse:
        loaded = await loaded_version(self._catalog, request.model_spec)
        return ratings_response(loaded, await self._scoring.predict_many(loaded, request.pairs))

    def _predict(self, loaded: LoadedVersion, request: pb.PredictRatingRequest) -> bytes:
        return rating_response(loaded, self._scoring.predict(loaded, request)).SerializeToString()

    async def _similar(self, loaded: LoadedVersion, request: pb.FindSimilarItemsRequest) -> bytes:
        found = await self._scoring.similar(loaded, request)
        return similar_response(loaded, request.item_id, found).SerializeToString()
