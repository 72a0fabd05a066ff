"""The bulk stream of recommendations.

A batch is received and scored while the answers before it are sent. How far ahead is bounded in bytes, because
grpcio takes a message only when the connection has room for it: a slow reader holds up its own stream, and no memory
grows.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry.errors import InvalidArgument
from mfserve_server.ahead import ahead
from mfserve_server.bulk import BulkScoring
from mfserve_server.catalog import Catalog
from mfserve_server.errors import under
from mfserve_server.executors import Executors
from mfserve_server.heads import MESSAGES
from mfserve_server.names import loaded_version
from mfserve_server.scoring import Options

BYTES_AHEAD = 256 << 10
"""A few answers of the usual size (512 users, 10 items: 50 to 100 KB); of the largest, only the one being sent."""


async def recommend_stream(
    requests: AsyncIterator[pb.StreamRecommendRequest],
    catalog: Catalog,
    executors: Executors,
    answered: Callable[[int], None] = lambda users: None,
) -> AsyncGenerator[bytes, None]:
    """The start, then an answer to each batch, all from the version that the start names; serialized.

    Args:
        answered: told how many users have been.

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
    scoring = BulkScoring(executors, loaded, options, predict=not config.omit_predicted_ratings)
    with catalog.streaming(loaded):
        yield pb.StreamRecommendResponse(started=started).SerializeToString()
        async with aclosing(ahead(_answers(requests, scoring, answered), BYTES_AHEAD)) as answers:
            async for answer in answers:
                yield answer


async def _config(requests: AsyncIterator[pb.StreamRecommendRequest]) -> pb.StreamRecommendConfig:
    async for request in requests:
        if request.WhichOneof("message") == "config":
            return request.config
        break
    raise InvalidArgument(
        "The first message of a stream is its configuration.", reason="STREAM_OUT_OF_ORDER", field="config"
    )


async def _answers(
    requests: AsyncIterator[pb.StreamRecommendRequest], scoring: BulkScoring, answered: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    async for request in requests:
        if request.WhichOneof("message") != "batch":
            raise InvalidArgument(
                "After its configuration a stream has batches only.",
                reason="STREAM_OUT_OF_ORDER",
                field="batch",
            )
        answer = await scoring.answer(request.batch)
        answered(len(request.batch.user_ids))
        yield answer
