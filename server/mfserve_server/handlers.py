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
from mfserve_server.entrance import Check, Door, Entrance
from mfserve_server.errors import DETAILS_KEY, PUSHBACK_KEY, failure
from mfserve_server.security.guard import Context

Handler = Callable[..., Any]


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
    if method.client_streaming and method.server_streaming:
        return grpc.stream_stream_rpc_method_handler(_stream_stream(door, call))
    if method.client_streaming:
        return grpc.stream_unary_rpc_method_handler(_stream_unary(door, call))
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(_unary_stream(door, call))
    return grpc.unary_unary_rpc_method_handler(_unary_unary(door, call))


def _unary_unary(door: Door, call: Handler) -> Handler:
    answer = call if isinstance(call, BytesMethod) else _of_message(door.request_class, call)

    async def handle(data: bytes, context: Context) -> bytes:
        try:
            if (check := door.identify(context)) is not None:
                await check(decode(door.request_class, data))
            if (turn := door.gate.enter()) is not None:
                await turn
            try:
                return await answer(data)
            finally:
                door.gate.leave()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - every error gets a status here
            await _fail(context, error, door.name)

    return handle


def _of_message(request_class: type[Message], call: Handler) -> Callable[[bytes], Awaitable[bytes]]:
    async def answer(data: bytes) -> bytes:
        response: Message = await call(decode(request_class, data))
        return response.SerializeToString()

    return answer


def _stream_unary(door: Door, call: Handler) -> Handler:
    async def handle(requests: AsyncIterator[bytes], context: Context) -> bytes:
        try:
            async with (
                door.stream(context) as check,
                aclosing(_decoded(door, requests, check)) as decoded,
            ):
                response: Message = await call(decoded)
            return response.SerializeToString()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - every error gets a status here
            await _fail(context, error, door.name)

    return handle


def _unary_stream(door: Door, call: Handler) -> Handler:
    async def handle(data: bytes, context: Context) -> None:
        try:
            async with door.stream(context) as check:
                request = decode(door.request_class, data)
                if check is not None:
                    await check(request)
                async with aclosing(call(request)) as responses:
                    await _send(door, context, responses)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - every error gets a status here
            await _fail(context, error, door.name)

    return handle


def _stream_stream(door: Door, call: Handler) -> Handler:
    async def handle(requests: AsyncIterator[bytes], context: Context) -> None:
        try:
            async with (
                door.stream(context) as check,
                aclosing(_decoded(door, requests, check)) as decoded,
                aclosing(call(decoded)) as responses,
            ):
                await _send(door, context, responses)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - every error gets a status here
            await _fail(context, error, door.name)

    return handle


async def _send(door: Door, context: Context, responses: AsyncIterator[Message | bytes]) -> None:
    """One at a time: the next response is not made before the transport has taken this one (flow control)."""
    async for response in responses:
        data = response if isinstance(response, bytes) else response.SerializeToString()
        try:
            async with _not_idle(door):
                await context.write(data)
        except grpc.aio.InternalError:
            # The caller is gone, and grpcio has not cancelled us yet: there is nobody left to tell anything.
            raise _CallerGone from None


async def _decoded(
    door: Door, requests: AsyncIterator[bytes], check: Check | None
) -> AsyncGenerator[Message, None]:
    """``check`` looks at the first of them, which says what the stream is about."""
    coming = aiter(requests)
    while True:
        try:
            async with _not_idle(door):
                data = await anext(coming)
        except StopAsyncIteration:
            return
        request = decode(door.request_class, data)
        if check is not None:
            await check(request)
            check = None
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


async def _fail(context: Context, error: BaseException, method: str) -> NoReturn:
    """Ends the call with a status.

    A CancelledError is the caller's who hung up, or grpcio's at a stop, and then goes on as it is; one that came up
    out of our own work (a shared load that was cancelled) would leave the caller without any status.
    """
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
        raise error
    if isinstance(error, _CallerGone) or context.done():
        raise asyncio.CancelledError
    told = failure(error, method)
    trailers: list[tuple[str, str | bytes]] = [(DETAILS_KEY, told.details)]
    if told.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        # To gRPC in the caller: when it is to try again, or that it is not.
        pushback = -1 if told.retry_seconds is None else math.ceil(told.retry_seconds * 1e3)
        trailers.append((PUSHBACK_KEY, str(pushback)))
    await context.abort(told.code, told.message, tuple(trailers))
