"""Servers without mfserve, as somebody would write them in an afternoon, and those that do nothing: the limits.

``python -m benchmarks.load.plain ARRAYS.npz`` serves on a free port and prints it: grpc.aio and uvloop. The naive
handlers have the names of mfserve's methods; what does nothing answers under the service ``Limit``.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import uvloop

from benchmarks.load.oracle import Arrays
from benchmarks.load.serving import BATCH_SIZES
from mfserve.v1 import recommendation_service_pb2 as pb

REPLY = bytes(160)
"""Of the limit, unary: as long as ten small items."""
LIMIT = 10


class Naive:
    """numpy.argpartition over all scores, and messages of the generated classes."""

    def __init__(self, arrays: Arrays) -> None:
        self._arrays = arrays
        self._number = arrays.number
        self.user_ids = arrays.user_ids
        self._ids = arrays.item_ids.tolist()
        self._titles = arrays.titles.tolist()

    async def Recommend(self, request: pb.RecommendRequest, context: Any) -> pb.RecommendResponse:  # noqa: N802
        """Without predicted ratings and the version that answered; rated items are left out."""
        arrays = self._arrays
        user = self._number[request.user_id]
        scores = arrays.item_factors @ arrays.user_factors[user]
        scores[arrays.seen(user)] = -np.inf
        top = np.argpartition(scores, -LIMIT)[-LIMIT:]
        top = top[np.argsort(-scores[top], kind="stable")]
        return pb.RecommendResponse(
            recommendations=[
                pb.Recommendation(item_id=self._ids[item], score=score, title=self._titles[item])
                for item, score in zip(top.tolist(), scores[top].tolist(), strict=True)
            ],
            basis=pb.RECOMMENDATION_BASIS_MODEL,
        )

    async def StreamRecommend(  # noqa: N802
        self, requests: AsyncIterator[pb.StreamRecommendRequest], context: Any
    ) -> AsyncIterator[pb.StreamRecommendResponse]:
        """Without predicted ratings and titles; rated items are not left out."""
        await anext(requests)
        yield pb.StreamRecommendResponse(started=pb.StreamRecommendStarted())
        async for request in requests:
            yield pb.StreamRecommendResponse(batch=self.batch(request.batch))

    def batch(self, batch: pb.UserBatch) -> pb.RecommendationBatch:
        arrays = self._arrays
        users = [self._number[user] for user in batch.user_ids]
        scores = arrays.user_factors[users] @ arrays.item_factors.T
        top = np.argpartition(scores, -LIMIT, axis=1)[:, -LIMIT:]
        top_scores = np.take_along_axis(scores, top, axis=1)
        order = np.argsort(-top_scores, axis=1, kind="stable")
        top = np.take_along_axis(top, order, axis=1)
        items, positions = np.unique(top.ravel(), return_inverse=True)
        return pb.RecommendationBatch(
            batch_id=batch.batch_id,
            item_ids=[self._ids[item] for item in items.tolist()],
            item_indices=positions.ravel().tolist(),
            scores=np.take_along_axis(top_scores, order, axis=1).ravel().tolist(),
            counts=[LIMIT] * len(users),
            bases=[pb.RECOMMENDATION_BASIS_MODEL] * len(users),
        )


def handlers(naive: Naive) -> Any:
    """As the generated code registers them; without the methods that nobody calls here."""
    return grpc.method_handlers_generic_handler(
        "mfserve.v1.RecommendationService",
        {
            "Recommend": grpc.unary_unary_rpc_method_handler(
                naive.Recommend, pb.RecommendRequest.FromString, pb.RecommendResponse.SerializeToString
            ),
            "StreamRecommend": grpc.stream_stream_rpc_method_handler(
                naive.StreamRecommend,
                pb.StreamRecommendRequest.FromString,
                pb.StreamRecommendResponse.SerializeToString,
            ),
        },
    )


def limit(naive: Naive) -> Any:
    """Constant replies to requests that are not decoded; the stream's is the naive one of users drawn at random.

    The batch's size is taken from the method's name: ``/Limit/Stream256``.
    """

    async def reply(request: bytes, context: Any) -> bytes:
        return REPLY

    def stream(size: int) -> Any:
        users = np.random.default_rng(0).choice(naive.user_ids, size).tolist()
        batch = naive.batch(pb.UserBatch(user_ids=users))
        constant = pb.StreamRecommendResponse(batch=batch).SerializeToString()
        started = pb.StreamRecommendResponse(started=pb.StreamRecommendStarted()).SerializeToString()

        async def answer(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
            await anext(requests)
            yield started
            async for _ in requests:
                yield constant

        return grpc.stream_stream_rpc_method_handler(answer)

    return grpc.method_handlers_generic_handler(
        "Limit",
        {"Unary": grpc.unary_unary_rpc_method_handler(reply)}
        | {f"Stream{size}": stream(size) for size in BATCH_SIZES},
    )


async def serve(path: Path) -> None:
    naive = Naive(Arrays.load(path))
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((handlers(naive), limit(naive)))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await server.wait_for_termination()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(Path(sys.argv[1])))
