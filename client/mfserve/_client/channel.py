"""How a client reaches the server: channel options, and per method what may be repeated.

A method is retried by gRPC only where a call whose answer was lost may be made again:

- what reads changes nothing;
- Train is idempotent by its ``request_id``, and CancelTrainingJob by its nature;
- what changes or deletes aliases, versions and models is not in the list. If its answer is lost after the change was
  made, a second attempt would meet the new revision and report ABORTED, or find nothing and report NOT_FOUND, for a
  change that this caller made; a second rollback would go back twice. gRPC still repeats it by itself where the request
  has provably not reached the server.
- Streams are not in the list either: a client goes on from where the stream broke, which gRPC cannot know.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any

import grpc

from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve.v1.model_service_pb2_grpc import ModelServiceStub
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from mfserve.v1.training_service_pb2_grpc import TrainingServiceStub

MAX_RECEIVE_BYTES = 64 * 1024 * 1024

RETRIED = {
    "mfserve.v1.TrainingService": ("Train", "GetTrainingJob", "ListTrainingJobs", "CancelTrainingJob"),
    "mfserve.v1.ModelService": (
        "ListModels",
        "GetModel",
        "ListModelVersions",
        "GetModelVersion",
        "CompareModelVersions",
        "ListAliasEvents",
        "GetServingStatus",
    ),
    "mfserve.v1.RecommendationService": (
        "Recommend",
        "PredictRating",
        "BatchPredictRatings",
        "FindSimilarItems",
    ),
}


def service_config() -> dict[str, Any]:
    """The gRPC service config of every client.

    RESOURCE_EXHAUSTED is how a server sheds load; it tells with a pushback when to come again, or not to. CANCELLED is
    what gRPC says where a server process ends just when a call reaches it.
    """
    return {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [
                    {"service": service, "method": method}
                    for service, methods in RETRIED.items()
                    for method in methods
                ],
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "1s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"],
                },
            }
        ],
        # Stops a client from multiplying the load of a server that refuses everything.
        "retryThrottling": {"maxTokens": 100, "tokenRatio": 0.5},
    }


@cache
def channel_options() -> tuple[tuple[str, Any], ...]:
    """Options of every channel."""
    from importlib.metadata import version

    return (
        ("grpc.primary_user_agent", f"mfserve-python/{version('mfserve')}"),
        ("grpc.max_receive_message_length", MAX_RECEIVE_BYTES),
        ("grpc.service_config", json.dumps(service_config())),
        # Connections of its own for each client: a server's worker processes share out connections, not calls.
        ("grpc.use_local_subchannel_pool", 1),
        # A peer that vanished without a word is noticed by the streams that wait for it.
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        # A restarted server is found again at once, and not after minutes.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    )


@dataclass(frozen=True, slots=True)
class Stubs:
    """The generated stubs of all services on one channel; on an aio channel they are the aio ones."""

    training: TrainingServiceStub
    model: ModelServiceStub
    recommendation: RecommendationServiceStub
    stream_recommend: grpc.StreamStreamMultiCallable[pb.StreamRecommendRequest, bytes]
    """StreamRecommend, whose answers are decoded by their reader: see ``mfserve.wire``."""

    @classmethod
    def on(cls, channel: grpc.Channel | grpc.aio.Channel) -> Stubs:
        """The stubs on a channel."""
        # The generated constructor serves both kinds of channel; its annotation has an overload for each.
        shared: Any = channel
        return cls(
            TrainingServiceStub(shared),
            ModelServiceStub(shared),
            RecommendationServiceStub(shared),
            shared.stream_stream(
                "/mfserve.v1.RecommendationService/StreamRecommend",
                request_serializer=pb.StreamRecommendRequest.SerializeToString,
            ),
        )
