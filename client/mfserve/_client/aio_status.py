"""What a call on an aio channel really ended with."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import grpc

from mfserve import errors
from mfserve._client.peer import Peer
from mfserve._client.status import from_rpc_error, grpc_errors_become_ours

Value = TypeVar("Value")

# grpcio's words for a request that could not be sent any more.
_REPLACED = "Internal error from Core"


@contextmanager
def aio_errors_become_ours(peer: Peer) -> Iterator[None]:
    """As ``grpc_errors_become_ours``; also where the client was closed under a call.

    Such a call raises asyncio's CancelledError, in a task that nobody has cancelled.
    """
    try:
        with grpc_errors_become_ours(peer):
            yield
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and not task.cancelling():
            raise errors.CancelledError("the client was closed before the server had answered") from None
        raise


class Verdict:
    """The server's status of a call that sends many requests.

    Where the server ends such a call while a request is on its way, grpc.aio sets INTERNAL in place of the status
    that the server gave. If that came first, it is kept here; if not, it is lost, and all that is known is that the
    call broke.
    """

    def __init__(self, call: Any) -> None:
        self._status: grpc.aio.AioRpcError | None = None
        call.add_done_callback(self._look)

    def on(self, error: grpc.aio.AioRpcError, peer: Peer) -> errors.StatusError:
        """Ours for the status that the call really ended with."""
        if error.details() != _REPLACED:
            return from_rpc_error(error, peer)
        if self._status is not None:
            return from_rpc_error(self._status, peer)
        return errors.UnavailableError(f"the call to {peer.address} broke")

    def _look(self, call: Any) -> None:
        code, details = _at_once(call.code()), _at_once(call.details())
        if code is not grpc.StatusCode.OK and details != _REPLACED:
            trailers = _at_once(call.trailing_metadata())
            self._status = grpc.aio.AioRpcError(code, grpc.aio.Metadata(), trailers, details)


def _at_once(ready: Coroutine[Any, Any, Value]) -> Value:
    # These coroutines wait for the end of the call, which is now.
    try:
        ready.send(None)
    except StopIteration as end:
        value: Value = end.value
        return value
    ready.close()
    raise RuntimeError("a call without a status has ended")
