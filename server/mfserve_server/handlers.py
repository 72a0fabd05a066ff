"""Registers servicers: requests are decoded, replies encoded and errors mapped here, around every method.

A wrapper and no interceptor, because an aio interceptor that does nothing costs 6 to 15 % of a call. Requests come
as bytes, because grpcio answers undecodable ones with UNKNOWN and the exception's text.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from mfserve_registry.errors import InvalidArgument, Unavailable
from mfserve_server.entrance import Door, Entrance
from mfserve_server.errors import DETAILS_KEY, PUSHBACK_KEY, Failure, failure
from mfserve_server.metrics.meter import CANCELLED, DEADLINE_EXCEEDED, OK
from mfserve_server.security.guard import Context
from mfserve_server.security.visit import Visit

Handler = Callable[..., Any]


_NEARLY_SECONDS = 0.02
"""A caller gives up at its deadline, and we may hear of it a moment before ours."""


class Server(Protocol):
    """The part of ``grpc.aio.Server`` that is needed here."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Any, /) -> None: ...


class BytesMethod(ABC):
    """A unary method that decodes its request itself, and gives the response's bytes."""

    @abstractmethod
    def __call__(self, data: bytes) -> Awaitable[bytes]:
        """The response's bytes."""


class _CallerGone(Exception):
    """A response could not be written."""


def register(server: Server, service: ServiceDescriptor, servicer: object, entrance: Entrance) -> None:
    """Makes ``servicer`` answer every method of ``service``.

    Its methods have the names of the service's. They take the request, or an async iterator of requests, and return
    the response, or are async generators of responses, serialized already where they like; or they are each a
    ``BytesMethod``.
    """
    handlers = {
        method.name: _handler(method, getattr(servicer, method.name), entrance.door(method))
        for method in service.methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


def _handler(method: MethodDescriptor, call: Handler, door: Door) -> grpc.RpcMethodHandler[Any, Any]:
    # Around the whole: a server that traces nothing pays nothing for it.
    around = door.traces.around if door.traces is not None else _as_it_is
    if method.client_streaming and method.server_streaming:
        return grpc.stream_stream_rpc_method_handler(around(_stream_stream(door, call)))
    if method.client_streaming:
        return grpc.stream_unary_rpc_method_handler(around(_stream_unary(door, call)))
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(around(_unary_stream(door, call)))
    return grpc.unary_unary_rpc_method_handler(around(_unary_unary(door, call)))


def _as_it_is(handle: Handler) -> Handler:
    return handle


def _unary_unary(door: Door, call: Handler) -> Handler:
    answer = call if isinstance(call, BytesMethod) else _of_message(door.request_class, call)
    meter, gate = door.meter, door.gate

    # Not by _let_in: calls are quick, and a context manager costs each of them 3 %.
    async def handle(data: bytes, context: Context) -> bytes:
        begun, code, caller, response, told = meter.begin(), CANCELLED, None, None, None
        try:
            caller = door.identify(context)
            check = door.admit(caller)
            if (turn := gate.enter()) is not None:
                await turn
            try:
                if check is not None:  # it may ask the database, for which there are so many places
                    await check(decode(door.request_class, data))
                response = await answer(data)
            finally:
                gate.leave()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - every error gets a status here
            told, code = _told(door, context, error)
            await _abort(context, told)
        else:
            code = OK
            return response
        finally:
            door.end(context, begun, code, caller, response, told)

    return handle


def _of_message(request_class: type[Message], call: Handler) -> Callable[[bytes], Awaitable[bytes]]:
    async def answer(data: bytes) -> bytes:
        response: Message = await call(decode(request_class, data))
        return response.SerializeToString()

    return answer


def _stream_unary(door: Door, call: Handler) -> Handler:
    async def handle(requests: AsyncIterator[bytes], context: Context) -> bytes:
        async with (
            _let_in(door, context) as visit,
            aclosing(_decoded(door, requests, visit)) as decoded,
        ):
            response: Message = await call(decoded)
            return response.SerializeToString()

    return handle


def _unary_stream(door: Door, call: Handler) -> Handler:
    async def handle(data: bytes, context: Context) -> None:
        async with _let_in(door, context) as visit:
            request = decode(door.request_class, data)
            if visit is not None:
                await visit.hear(request)
            async with aclosing(call(request)) as responses:
                await _send(door, context, responses, visit)

    return handle


def _stream_stream(door: Door, call: Handler) -> Handler:
    async def handle(requests: AsyncIterator[bytes], context: Context) -> None:
        async with (
            _let_in(door, context) as visit,
            aclosing(_decoded(door, requests, visit)) as decoded,
            aclosing(call(decoded)) as responses,
        ):
            await _send(door, context, responses, visit)

    return handle


@asynccontextmanager
async def _let_in(door: Door, context: Context) -> AsyncIterator[Visit | None]:
    """Gives a stream its place and counts it, and ends it with a status where it fails."""
    begun, code, caller, told = door.meter.begin(), CANCELLED, None, None
    try:
        caller = door.identify(context)
        async with door.stream(context, caller) as visit:
            yield visit
        code = OK
    except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - every error gets a status here
        told, code = _told(door, context, error)
        await _abort(context, told)
    finally:
        door.end(context, begun, code, caller, told=told)


async def _send(
    door: Door, context: Context, responses: AsyncIterator[Message | bytes], visit: Visit | None
) -> None:
    """One at a time: the next response is not made before the transport has taken this one (flow control)."""
    async for response in responses:
        data = response if isinstance(response, bytes) else response.SerializeToString()
        if visit is not None:
            await visit.go_on()
        try:
            async with _not_idle(door):
                await context.write(data)
        except grpc.aio.InternalError:
            # The caller is gone, and grpcio has not cancelled us yet: there is nobody left to tell anything.
            raise _CallerGone from None


async def _decoded(
    door: Door, requests: AsyncIterator[bytes], visit: Visit | None
) -> AsyncGenerator[Message, None]:
    coming = aiter(requests)
    while True:
        try:
            async with _not_idle(door):
                data = await anext(coming)
        except StopAsyncIteration:
            return
        request = decode(door.request_class, data)
        if visit is not None:
            await visit.hear(request)
        yield request


@asynccontextmanager
async def _not_idle(door: Door) -> AsyncIterator[None]:
    """Unavailable where the caller neither sends nor reads: a stream that is waited for holds on to its version."""
    limit = asyncio.timeout(door.idle_seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        raise Unavailable(f"The stream's caller did nothing for {door.idle_seconds:g} seconds.") from None


def decode(request_class: type[Message], data: bytes) -> Message:
    """InvalidArgument: UNDECODABLE_REQUEST."""
    try:
        return request_class.FromString(data)
    except DecodeError:
        raise InvalidArgument(
            f"The request's bytes are no {request_class.DESCRIPTOR.full_name}.", reason="UNDECODABLE_REQUEST"
        ) from None


def _told(door: Door, context: Context, error: BaseException) -> tuple[Failure | None, int]:
    """What the caller of a call that has failed is told, and the call's status; None: nobody is there to be told.

    A CancelledError is the caller's who hung up, or grpcio's at a stop; one that came up out of our own work (a shared
    load that was cancelled) would leave the caller without any status.
    """
    task = asyncio.current_task()
    is_stopped = isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
    if is_stopped or isinstance(error, _CallerGone):
        left: float | None = context.time_remaining()
        return None, CANCELLED if left is None or left > _NEARLY_SECONDS else DEADLINE_EXCEEDED
    # A defect is one also where the caller has hung up meanwhile.
    told = failure(error, door.name)
    door.meter.failed(told.reason)
    return told, told.code.value[0]


async def _abort(context: Context, told: Failure | None) -> NoReturn:
    """Ends the call so."""
    if told is None:
        raise asyncio.CancelledError
    trailers: list[tuple[str, str | bytes]] = [(DETAILS_KEY, told.details)]
    if told.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # To gRPC in the caller: when it is to try again, or that it is not.
        pushback = -1 if told.retry_seconds is None else math.ceil(told.retry_seconds * 1e3)
        trailers.append((PUSHBACK_KEY, str(pushback)))
    await context.abort(told.code, told.message, tuple(trailers))
