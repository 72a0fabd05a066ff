"""Makes the calls and awaits them."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
)
from contextlib import suppress
from typing import Any, TypeVar

import grpc

from mfserve._client import health
from mfserve._client.aio_status import Verdict, aio_errors_become_ours
from mfserve._client.arguments import seconds, timed
from mfserve._client.bulk import Bulk
from mfserve._client.calls import (
    BULK_SECONDS,
    END_SECONDS,
    TRANSFER_TIMEOUT,
    WATCH_SECONDS,
    Backoff,
    Deadline,
    Download,
    Paged,
    Unary,
    grpc_timeout,
    worth_repeating,
)
from mfserve._client.channel import Stubs
from mfserve._client.peer import Peer
from mfserve._client.sync_transport import Transport
from mfserve._client.traces import call_span
from mfserve._client.training_service import Watch
from mfserve._client.user_ids import AsyncUserIds
from mfserve._types.bulk import RecommendationBatch
from mfserve._types.training import JobUpdate, Upload
from mfserve.errors import DeadlineExceededError, MfserveError, UnavailableError
from mfserve.v1 import recommendation_service_pb2 as recommendation_pb2
from mfserve.v1 import training_service_pb2 as training_pb2

Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")


class AsyncTransport:
    """One channel, and every way in which a call is made on it. Its twin is ``sync_transport.Transport``."""

    def __init__(self, peer: Peer, timeout: float) -> None:
        self.peer = peer
        self._timeout = seconds(timeout)
        # A channel belongs to an event loop, which need not run yet.
        self._channel: grpc.aio.Channel | None = None
        self._stubs: Stubs | None = None
        self._uploads: set[Transport] = set()
        self._closed = False
        # A server that has never answered fails a call at once, one that has is waited for while it restarts.
        self._reached = False

    async def close(self) -> None:
        """Ends all calls."""
        self._closed = True
        for upload in self._uploads:
            upload.close()
        if self._channel is not None:
            await self._channel.close()

    @timed
    async def unary(self, call: Unary[Request, Response, Result], timeout: float | None) -> Result:
        """One request, one answer."""
        method = call.method(self._open())
        wait = self._timeout if timeout is None else timeout
        with call_span(call.request), aio_errors_become_ours(self.peer):
            response = await _aio(method)(
                call.request,
                timeout=grpc_timeout(wait),
                metadata=self.peer.metadata(),
                wait_for_ready=self._reached,
            )
        self._reached = True
        return call.decode(response)

    async def all_of(
        self, calls: Generator[Unary[Request, Response, Result], Result, Result], timeout: float | None
    ) -> Result:
        """What a generator of calls returns; each result goes back into it."""
        try:
            call = next(calls)
            while True:
                call = calls.send(await self.unary(call, timeout))
        except StopIteration as end:
            result: Result = end.value
            return result

    @timed
    async def paged(
        self, call: Paged[Request, Response, Result], timeout: float | None
    ) -> AsyncIterator[Result]:
        """Entry by entry; a page is asked for when the one before is used up."""
        token = ""
        while True:
            entries, token = await self.unary(call.page(token), timeout)
            for entry in entries:
                yield entry
            if not token:
                return

    @timed
    async def download(self, call: Download[Request, Response, Result], timeout: float | None) -> Result:
        """An answer in parts, made whole."""
        deadline = Deadline(TRANSFER_TIMEOUT if timeout is None else timeout)
        backoff = Backoff(deadline)
        while True:
            try:
                stream = self._stream(call.method(self._open()), call.request, deadline.remaining)
                return call.decode([part async for part in stream])
            except MfserveError as error:
                await asyncio.sleep(backoff.after(error))

    @timed
    async def watch(self, watch: Watch, timeout: float | None) -> AsyncGenerator[JobUpdate]:
        """Follows a job to its end over as many connections as it takes."""
        deadline = Deadline(timeout)
        backoff = Backoff(deadline)
        while not watch.ended:
            method = self._open().training.WatchTrainingJob
            stream = self._stream(method, watch.request(), min(deadline.remaining, WATCH_SECONDS))
            try:
                async for response in stream:
                    backoff.reset()
                    yield watch.received(response)
                if not watch.ended:
                    raise UnavailableError("the server stopped before the job had ended")
            except MfserveError as error:
                if deadline.passed:
                    raise deadline.exceeded("the training did not end") from error
                await asyncio.sleep(backoff.after(error))
            finally:
                await stream.aclose()

    @timed
    async def upload(
        self,
        header: training_pb2.UploadDatasetRequest,
        messages: Callable[[], Iterator[training_pb2.UploadDatasetRequest]],
        timeout: float | None,
    ) -> Upload:
        """Sends rows, in a thread with a channel of its own.

        Turning rows into messages would hold up the event loop, and grpc.aio may lose the status of a call that the
        server ends while a request is on its way (see ``aio_status.Verdict``).
        """
        self._opened()
        transport = Transport(self.peer, self._timeout)
        self._uploads.add(transport)
        try:
            return await asyncio.to_thread(transport.upload, header, messages, timeout)
        finally:
            self._uploads.discard(transport)
            transport.close()

    @timed
    async def bulk(
        self, bulk: Bulk, ids: AsyncUserIds, timeout: float | None
    ) -> AsyncGenerator[RecommendationBatch]:
        """Recommendations for many users over as many connections as it takes."""
        deadline = Deadline(timeout)
        backoff = Backoff(deadline)
        connection: _BulkConnection | None = None
        try:
            while True:
                while bulk.wants_users:
                    request = bulk.add(await ids.take_async(bulk.batch_size))
                    if connection is not None:
                        connection.send(request)
                if bulk.done:
                    break
                try:
                    if connection is None:
                        turn = min(deadline.remaining, BULK_SECONDS)
                        connection = _BulkConnection(self._open(), bulk, turn, self.peer)
                    batch = bulk.received(await connection.read())
                except MfserveError as error:
                    if deadline.passed:
                        raise deadline.exceeded("not all users were answered") from error
                    bulk.refused(error)
                    if connection is not None:
                        connection.close()
                        connection = None
                    await asyncio.sleep(backoff.after(error))
                    continue
                if batch is None:
                    connection.send(*bulk.unanswered())
                else:
                    backoff.reset()
                    yield batch
        finally:
            bulk.ended = True
            if connection is not None:
                await connection.end(bulk.done)

    @timed
    async def ready(self, timeout: float | None) -> bool:
        """Whether the server says that it serves."""
        check = self._opened().unary_unary(health.CHECK, health.as_is, health.as_is)
        wait = self._timeout if timeout is None else timeout
        try:
            with aio_errors_become_ours(self.peer):
                response: bytes = await check(health.WHOLE_SERVER, timeout=grpc_timeout(wait))
        except (UnavailableError, DeadlineExceededError):
            return False
        return health.serving(response)

    @timed
    async def wait_ready(self, timeout: float) -> None:
        """Until the server says that it serves."""
        deadline = Deadline(timeout)
        method = self._opened().unary_stream(health.WATCH, health.as_is, health.as_is)
        while True:
            stream = self._stream(method, health.WHOLE_SERVER, deadline.remaining)
            try:
                async for response in stream:
                    if health.serving(response):
                        self._reached = True
                        return
            except (UnavailableError, DeadlineExceededError) as error:
                if deadline.passed:
                    raise deadline.exceeded(f"the server at {self.peer.address} was not ready") from error
                if not worth_repeating(error, deadline):
                    raise
            finally:
                await stream.aclose()
            await asyncio.sleep(min(0.1, deadline.remaining))

    def _opened(self) -> grpc.aio.Channel:
        if self._closed:
            raise RuntimeError("this client is closed")
        if self._channel is None:
            self._channel = self.peer.channel(grpc.aio)
        return self._channel

    def _open(self) -> Stubs:
        channel = self._opened()
        if self._stubs is None:
            self._stubs = Stubs.on(channel)
        return self._stubs

    async def _stream(self, method: Any, request: object, seconds: float) -> AsyncGenerator[Any]:
        with aio_errors_become_ours(self.peer):
            call = method(request, timeout=grpc_timeout(seconds), metadata=self.peer.metadata())
            try:
                async for response in call:
                    yield response
            finally:
                call.cancel()


class _BulkConnection:
    """One StreamRecommend call."""

    def __init__(self, stubs: Stubs, bulk: Bulk, seconds: float, peer: Peer) -> None:
        self._peer = peer
        # Read by grpc's own task: writing and reading in turns would stop for ever where both directions are full.
        # Unbounded, because Bulk bounds what is in flight.
        self._waiting: asyncio.Queue[recommendation_pb2.StreamRecommendRequest | None] = asyncio.Queue()
        self.send(bulk.opening())
        method = _aio(stubs.stream_recommend)
        self._call = method(self._requests(), timeout=grpc_timeout(seconds), metadata=peer.metadata())
        self._verdict = Verdict(self._call)

    def send(self, *requests: recommendation_pb2.StreamRecommendRequest | None) -> None:
        """Sends messages; None: there are no more."""
        for request in requests:
            self._waiting.put_nowait(request)

    async def _requests(self) -> AsyncIterator[recommendation_pb2.StreamRecommendRequest]:
        while (request := await self._waiting.get()) is not None:
            yield request

    async def read(self) -> bytes:
        """The next message."""
        with aio_errors_become_ours(self._peer):
            try:
                response = await self._call.read()
            except grpc.aio.AioRpcError as error:
                raise self._verdict.on(error, self._peer) from error
        if response is grpc.aio.EOF:
            raise UnavailableError("the server stopped before it had answered")
        message: bytes = response
        return message

    async def end(self, answered: bool) -> None:
        """Closes; a call that has been answered is the server's to end, as who cancels looks like one who gave up."""
        if answered:
            with suppress(TimeoutError, grpc.aio.AioRpcError):  # everything had been answered
                async with asyncio.timeout(END_SECONDS):
                    while await self._call.read() is not grpc.aio.EOF:
                        pass
        self.close()

    def close(self) -> None:
        """Ends the call, and the task that sends."""
        self._call.cancel()
        self.send(None)


def _aio(method: object) -> Any:
    """A stub's method as what it is on an aio channel; the generated stubs type one class for both kinds."""
    return method
