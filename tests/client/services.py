"""Real gRPC servers whose methods are a line or two long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, NoReturn

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2

from mfserve.v1 import common_pb2, model_service_pb2, recommendation_service_pb2, training_service_pb2

Behaviour = Callable[[Any, Any], Any]

METHODS: dict[str, MethodDescriptor] = {
    method.name: method
    for file in (recommendation_service_pb2, training_service_pb2, model_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

VERSION = common_pb2.ServedVersion(model="movies", version=3, digest="d" * 64)


class Served:
    """A server on a port of its own, which it keeps over restarts.

    Attributes:
        calls: names of the methods that were called, in order.
    """

    def __init__(
        self, behaviours: Mapping[str, Behaviour], credentials: grpc.ServerCredentials | None = None
    ) -> None:
        self._credentials = credentials
        self.calls: list[str] = []
        self._handlers: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for name, behaviour in behaviours.items():
            method = METHODS[name]
            handlers = self._handlers.setdefault(method.containing_service.full_name, {})
            handlers[name] = _handler(method, self._recorded(name, behaviour))
        self.port = 0
        self.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._server = grpc.server(ThreadPoolExecutor(16))
        for service, handlers in self._handlers.items():
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        if self._credentials is None:
            self.port = self._server.add_insecure_port(self.address)
        else:
            self.port = self._server.add_secure_port(self.address, self._credentials)
        self._server.start()

    def stop(self) -> None:
        """Breaks every connection at once."""
        self._server.stop(None).wait()

    def restart(self) -> None:
        self.stop()
        self.start()

    def _recorded(self, name: str, behaviour: Behaviour) -> Behaviour:
        def call(request: Any, context: Any) -> Any:
            self.calls.append(name)
            return behaviour(request, context)

        return call


def fail(
    context: grpc.ServicerContext,
    code: grpc.StatusCode,
    message: str = "no",
    *,
    reason: str = "",
    metadata: Mapping[str, str] | None = None,
    violations: Sequence[tuple[str, str]] = (),
    retry: timedelta | None = None,
) -> NoReturn:
    """Ends a call as mfserve's server does, with a google.rpc.Status."""
    status = status_pb2.Status(code=code.value[0], message=message)
    if reason:
        info = error_details_pb2.ErrorInfo(reason=reason, domain="mfserve", metadata=metadata or {})
        status.details.add().Pack(info)
    if violations:
        bad = error_details_pb2.BadRequest(
            field_violations=[
                error_details_pb2.BadRequest.FieldViolation(field=field, description=description)
                for field, description in violations
            ]
        )
        status.details.add().Pack(bad)
    if retry is not None:
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=retry))
    context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.abort(code, message)


def answers(request: recommendation_service_pb2.UserBatch, limit: int = 2) -> Any:
    """An answer to a batch of users, which names user and rank in every item."""
    users = list(request.user_ids)
    pb = recommendation_service_pb2
    return pb.StreamRecommendResponse(
        batch=pb.RecommendationBatch(
            batch_id=request.batch_id,
            item_ids=[f"{user}/{rank}" for user in users for rank in range(limit)],
            item_indices=range(limit * len(users)),
            scores=[1.0 / (1 + rank) for _ in users for rank in range(limit)],
            predicted_ratings=[4.5] * (limit * len(users)),
            counts=[limit] * len(users),
            bases=[pb.RECOMMENDATION_BASIS_MODEL] * len(users),
        )
    )


def started(version: common_pb2.ServedVersion = VERSION) -> Any:
    """The start of a stream."""
    pb = recommendation_service_pb2
    return pb.StreamRecommendResponse(
        started=pb.StreamRecommendStarted(served_version=version, ranking_head=common_pb2.HEAD_RANKING)
    )


def recommend_to_all(requests: Iterator[Any], context: Any) -> Iterator[Any]:
    """StreamRecommend as it should be."""
    next(requests)
    yield started()
    for request in requests:
        yield answers(request.batch)


def _handler(method: MethodDescriptor, behaviour: Behaviour) -> grpc.RpcMethodHandler[Any, Any]:
    make = {
        (False, False): grpc.unary_unary_rpc_method_handler,
        (False, True): grpc.unary_stream_rpc_method_handler,
        (True, False): grpc.stream_unary_rpc_method_handler,
        (True, True): grpc.stream_stream_rpc_method_handler,
    }[method.client_streaming, method.server_streaming]
    request = GetMessageClass(method.input_type)
    response = GetMessageClass(method.output_type)
    handler: grpc.RpcMethodHandler[Any, Any] = make(
        behaviour, request_deserializer=request.FromString, response_serializer=response.SerializeToString
    )
    return handler
