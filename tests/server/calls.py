"""Calls a server through the generated stubs, and takes errors apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2

from mfserve.v1.model_service_pb2_grpc import ModelServiceStub
from mfserve.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from mfserve.v1.training_service_pb2_grpc import TrainingServiceStub
from mfserve_server.service import Service

DEADLINE = 30.0


@dataclass(frozen=True)
class Server:
    """A running server and a channel to it."""

    service: Service
    address: str
    channel: grpc.aio.Channel
    recommendations: Any = field(init=False)
    trainings: Any = field(init=False)
    models: Any = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "recommendations", RecommendationServiceStub(self.channel))
        object.__setattr__(self, "trainings", TrainingServiceStub(self.channel))
        object.__setattr__(self, "models", ModelServiceStub(self.channel))


@dataclass(frozen=True)
class Told:
    """What a failed call told its caller."""

    code: grpc.StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str]
    fields: Sequence[str]
    retry_seconds: float | None = None


def told(error: grpc.aio.AioRpcError) -> Told:
    """Fails where the error has no google.rpc.Status that agrees with the call's own status."""
    # Pairs, because older releases of grpcio yield pairs and yet have the keys() that make dict() take a mapping.
    details = dict(list(error.trailing_metadata() or ()))
    status = status_pb2.Status.FromString(bytes(details["grpc-status-details-bin"]))
    assert (status.code, status.message) == (error.code().value[0], error.details())
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    retry, retry_seconds = error_details_pb2.RetryInfo(), None
    for part in status.details:
        part.Unpack(info)
        part.Unpack(bad)
        if part.Unpack(retry):
            retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()
    assert info.domain == "mfserve"
    fields = [violation.field for violation in bad.field_violations]
    return Told(error.code(), info.reason, status.message, dict(info.metadata), fields, retry_seconds)


async def failure(call: Awaitable[Any] | AsyncIterator[Any]) -> Told:
    """What a call that must fail tells; streams are read to their end."""
    try:
        if isinstance(call, AsyncIterator) or hasattr(call, "__aiter__"):
            async with asyncio.timeout(DEADLINE):
                async for _ in call:
                    pass
        else:
            await asyncio.wait_for(_result(call), DEADLINE)
    except grpc.aio.AioRpcError as error:
        return told(error)
    raise AssertionError("the call succeeded")


async def _result(call: Awaitable[Any]) -> Any:
    return await call
