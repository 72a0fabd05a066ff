"""Registers servicers: requests are decoded, replies encoded and errors mapped here, around every method.

A wrapper and no interceptor, because an aio interceptor that does nothing costs 6 to 15 % of a call. Requests come
as bytes, because grpcio answers undecodable ones with UNKNOWN and the exception's text.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import Any, NoReturn, Protocol

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from grpc.aio import ServicerContext

from mfserve_registry.errors import InvalidArgument
from mfserve_server.errors import DETAILS_KEY, failure
from mfserve_server.security.guard import Guard
from mfserve_server.security.scopes import NOBODY, RULES

Context = ServicerContext[Any, Any]
Handler = Callable[..., Any]
Check = Callable[[Message], Awaitable[None]]
"""Whether the caller may ask this; an error where not."""


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


def register(
    server: Server, service: ServiceDescriptor, servicer: object, guard: Guard | None = None
) -> None:
    """Makes ``servicer`` answer every method of ``service``, to those whom the guard lets through.

    Its methods have the names of the service's. They take the request, or an async iterator of requests, and return
    the response, or are async generators of responses, serialized already where they like; or they are each a
    ``BytesMethod``.
    """
    handlers = {
        method.name: _handler(method, getattr(servicer, method.name), _Door(guard, method))
        for method in service.methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))


class _Door:
    """The way in to one method.

    Args:
        guard: None: everybody may come in.
    """

    def __init__(self, guard: Guard | None, method: MethodDescriptor) -> None:
        self.guard = guard
        self.name = method.full_name
        self.request_class = GetMessageClass(method.input_type)
        self._rule = RULES.get(method.full_name, NOBODY)

    def identify(self, context: Context) -> Check | None:
        """Unauthenticated, PermissionDenied. What is returned is still to look at the request, if not None."""
        if self.guard is None:
            return None
        caller = self.guard.caller(self._rule, context)
        return None if caller.models is None else partial(self.guard.check_model, caller, self._rule)


def _handler(method: MethodDescriptor, call: Handler, door: _Door) -> grpc.RpcMethodHandler[Any, Any]:
    if method.client_streaming and method.server_streaming:
        return grpc.stream_stream_rpc_method_handler(_stream_stream(door, call))
    if method.client_streaming:
        return grpc.stream_unary_rpc_method_handler(_stream_unary(door, call))
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(_unary_stream(door, call))
    return grpc.unary_unary_rpc_method_handler(_unary_unary(door, call))


def _unary_unary(door: _Door, call: Handler) -> Handler:
    answer = call if isinstance(call, BytesMethod) else _of_message(door.request_class, call)

    async def handle(data: bytes, context: Context) -> bytes:
        try:
            if (check := door.identify(context)) is not None:
                await check(decode(door.request_class, data))
            return await answer(data)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - every error gets a status here
            await _fail(context, error, door.name)

    return handle


def _of_message(request_class: type[Message], call: Handler) -> Callable[[bytes], Awaitable[bytes]]:
    async def answer(data: bytes) -> bytes:
        response: Message = await call(decode(request_class, data))
        return response.SerializeToString()

    return answer


def _stream_unary(door: _Door, call: Handler) -> Handler:
    async def handle(requests: AsyncIterator[bytes], context: Context) -> bytes:
        try:
            check = door.identify(context)
            async with aclosing(_decoded(door.request_class, requests, check)) as decoded:
                response: Message = await call(decoded)
            return response.SerializeToString()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - every error gets a status here
            await _fail(context, error, door.name)

    return handle


def _unary_stream(door: _Door, call: Handler) -> Handler:
    async def handle(data: bytes, context: Context) -> None:
        try:
            check = door.identify(context)
            request = decode(door.request_class, data)
            if check is not None:
                await check(request)
            async with aclosing(call(request)) as responses:
                await _send(context, responses)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - every error gets a status here
            await _fail(context, error, door.name)

    return handle


def _stream_stream(door: _Door, call: Handler) -> Handler:
    async def handle(requests: AsyncIterator[bytes], context: Context) -> None:
        try:
            check = door.identify(context)
            async with (
                aclosing(_decoded(door.request_class, requests, check)) as decoded,
                aclosing(call(decoded)) as responses,
            ):
                await _send(context, responses)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - every error gets a status here
            await _fail(context, error, door.name)

    return handle


async def _send(context: Context, responses: AsyncIterator[Message | bytes]) -> None:
    """One at a time: the next response is not made before the transport has taken this one (flow control)."""
    async for response in responses:
        data = response if isinstance(response, bytes) else response.SerializeToString()
        try:
            await context.write(data)
        except grpc.aio.InternalError:
            # The caller is gone, and grpcio has not cancelled us yet: there is nobody left to tell anything.
            raise _CallerGone from None


async def _decoded(
    request_class: type[Message], requests: AsyncIterator[bytes], check: Check | None
) -> AsyncGenerator[Message, None]:
    """``check`` looks at the first of them, which says what the stream is about."""
    async for data in requests:
        request = decode(request_class, data)
        if check is not None:
            await check(request)
            check = None
        yield request


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
    await context.abort(told.code, told.message, ((DETAILS_KEY, told.details),))
