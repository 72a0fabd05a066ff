"""The bulk stream of recommendations.

One batch at a time: the next is read when the answer to the last has been taken by the transport, so that a slow
reader holds up its own stream and no memory grows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry.errors import InvalidArgument
from mfserve_server.catalog import Catalog
from mfserve_server.errors import under
from mfserve_server.heads import MESSAGES
from mfserve_server.names import loaded_version
from mfserve_server.scoring import Options, Scoring


async def recommend_stream(
    requests: AsyncIterator[pb.StreamRecommendRequest], catalog: Catalog, scoring: Scoring
) -> AsyncGenerator[pb.StreamRecommendResponse, None]:
    """The start, then an answer to each batch, all from the version that the start names.

    Raises:
        InvalidArgument: STREAM_OUT_OF_ORDER, or a field is wrong.
        NotFound, DamagedSnapshot, Unavailable, FailedPrecondition: as for Recommend.
    """
    config = await _config(requests)
    with under("config"):
        loaded = await loaded_version(catalog, config.model_spec)
        options = Options.of(loaded, config)
    started = pb.StreamRecommendStarted(
        served_version=loaded.served,
        ranking_head=MESSAGES[options.head],
        recall=loaded.recommender.recall(options.head, exact=options.exact),
    )
    yield pb.StreamRecommendResponse(started=started)
    async for request in requests:
        if request.WhichOneof("message") != "batch":
            raise InvalidArgument(
                "After its configuration a stream has batches only.",
                reason="STREAM_OUT_OF_ORDER",
                field="batch",
            )
        batch = await scoring.recommend_batch(
            loaded, request.batch, options, predict=not config.omit_predicted_ratings
        )
        yield pb.StreamRecommendResponse(batch=batch)


async def _config(requests: AsyncIterator[pb.StreamRecommendRequest]) -> pb.StreamRecommendConfig:
    async for request in requests:
        if request.WhichOneof("message") == "config":
            return request.config
        break
    raise InvalidArgument(
        "The first message of a stream is its configuration.", reason="STREAM_OUT_OF_ORDER", field="config"
    )
