"""Makes the calls and waits for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from itertools import chain
from typing import TypeVar

import grpc

from mfserve._client import health
from mfserve._client.arguments import seconds, timed
from mfserve._client.bulk import IN_FLIGHT, Bulk
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
from mfserve._client.feed import Feed
from mfserve._client.peer import Peer
from mfserve._client.status import grpc_errors_become_ours
from mfserve._client.traces import call_span
from mfserve._client.training_service import Watch, upload_from
from mfserve._client.user_ids import UserIds
from mfserve._types.bulk import RecommendationBatch
from mfserve._types.training import JobUpdate, Upload
from mfserve.errors import DeadlineExceededError, MfserveError, UnavailableError
from mfserve.v1 import recommendation_service_pb2 as recommendation_pb2
from mfserve.v1 import training_service_pb2 as training_pb2

Request = TypeVar("Request")
Response = TypeVar("Response")
Result = TypeVar("Result")


class Transport:
    """One channel, and every way in which a call is made on it. Its twin is ``aio_transport.AsyncTransport``."""

    def __init__(self, peer: Peer, timeout: float) -> None:
        self.peer = peer
        self._timeout = seconds(timeout)
        self._channel = peer.channel(grpc)
        self._stubs = Stubs.on(self._channel)
        self._closed = False
        # A server that has never answered fails a call at once, one that has is waited for while it restarts.
        self._reached = False

    def close(self) -> None:
        """Ends all calls."""
        self._closed = True
        self._channel.close()

    @timed
    def unary(self, call: Unary[Request, Response, Result], timeout: float | None) -> Result:
        """One request, one answer."""
        method = call.method(self._open())
        wait = self._timeout if timeout is None else timeout
        with call_span(call.request), grpc_errors_become_ours(self.peer):
            response = method(
                call.request,
                timeout=grpc_timeout(wait),
                metadata=self.peer.metadata(),
                wait_for_ready=self._reached,
            )
        self._reached = True
        return call.decode(response)

    def all_of(
        self, calls: Generator[Unary[Request, Response, Result], Result, Result], timeout: float | None
    ) -> Result:
        """What a generator of calls returns; each result goes back into it."""
        try:
            call = next(calls)
            while True:
                call = calls.send(self.unary(call, timeout))
        except StopIteration as end:
            result: Result = end.value
            return result

    @timed
    def paged(self, call: Paged[Request, Response, Result], timeout: float | None) -> Iterator[Result]:
        """Entry by entry; a page is asked for when the one before is used up."""
        token = ""
        while True:
            entries, token = self.unary(call.page(token), timeout)
            yield from entries
            if not token:
                return

    @timed
    def download(self, call: Download[Request, Response, Result], timeout: float | None) -> Result:
        """An answer in parts, made whole."""
        deadline = Deadline(TRANSFER_TIMEOUT if timeout is None else timeout)
        backoff = Backoff(deadline)
        while True:
            try:
                return call.decode(self._stream(call.method(self._open()), call.request, deadline.remaining))
            except MfserveError as error:
                time.sleep(backoff.after(error))

    @timed
    def watch(self, watch: Watch, timeout: float | None) -> Iterator[JobUpdate]:
        """Follows a job to its end over as many connections as it takes."""
        deadline = Deadline(timeout)
        backoff = Backoff(deadline)
        while not watch.ended:
            method = self._open().training.WatchTrainingJob
            try:
                for response in self._stream(method, watch.request(), min(deadline.remaining, WATCH_SECONDS)):
                    backoff.reset()
                    yield watch.received(response)
                if not watch.ended:
                    raise UnavailableError("the server stopped before the job had ended")
            except MfserveError as error:
                if deadline.passed:
                    raise deadline.exceeded("the training did not end") from error
                time.sleep(backoff.after(error))

    @timed
    def upload(
        self,
        header: training_pb2.UploadDatasetRequest,
        messages: Callable[[], Iterator[training_pb2.UploadDatasetRequest]],
        timeout: float | None,
    ) -> Upload:
        """Sends rows; the whole again where the connection breaks, which the request id makes safe."""
        deadline = Deadline(TRANSFER_TIMEOUT if timeout is None else timeout)
        backoff = Backoff(deadline)
        while True:
            try:
                with grpc_errors_become_ours(self.peer):
                    return self._upload(chain([header], messages()), deadline.remaining)
            except MfserveError as error:
                time.sleep(backoff.after(error))

    def _upload(self, requests: Iterable[training_pb2.UploadDatasetRequest], seconds: float) -> Upload:
        feed: Feed[training_pb2.UploadDatasetRequest] = Feed(room=4)
        call = self._open().training.UploadDataset.future(
            feed, timeout=grpc_timeout(seconds), metadata=self.peer.metadata()
        )
        call.add_done_callback(lambda _: feed.close())
        try:
            for request in requests:
                if not feed.put(request):
                    break  # the call has ended already, and its result says why
            feed.close()
            return upload_from(call.result())
        finally:
            # In this order: the server should rather hear of the breaking off than of an end that came too early.
            call.cancel()
            feed.close()

    @timed
    def bulk(self, bulk: Bulk, ids: UserIds, timeout: float | None) -> Generator[RecommendationBatch]:
        """Recommendations for many users over as many connections as it takes."""
        deadline = Deadline(timeout)
        backoff = Backoff(deadline)
        connection: _BulkConnection | None = None
        try:
            while True:
                while bulk.wants_users:
                    request = bulk.add(ids.take(bulk.batch_size))
                    if connection is not None:
                        connection.send(request)
                if bulk.done:
                    break
                try:
                    if connection is None:
                        turn = min(deadline.remaining, BULK_SECONDS)
                        connection = _BulkConnection(self._open(), bulk, turn, self.peer)
                    batch = bulk.received(connection.read())
                except MfserveError as error:
                    if deadline.passed:
                        raise deadline.exceeded("not all users were answered") from error
                    bulk.refused(error)
                    if connection is not None:
                        connection.close()
                        connection = None
                    time.sleep(backoff.after(error))
                    continue
                if batch is None:
                    connection.send(*bulk.unanswered())
                else:
                    backoff.reset()
                    yield batch
        finally:
            bulk.ended = True
            if connection is not None:
                connection.end(bulk.done)

    @timed
    def ready(self, timeout: float | None) -> bool:
        """Whether the server says that it serves."""
        self._open()
        check = self._channel.unary_unary(health.CHECK, health.as_is, health.as_is)
        wait = self._timeout if timeout is None else timeout
        try:
            with grpc_errors_become_ours(self.peer):
                response: bytes = check(health.WHOLE_SERVER, timeout=grpc_timeout(wait))
        except (UnavailableError, DeadlineExceededError):
            return False
        return health.serving(response)

    @timed
    def wait_ready(self, timeout: float) -> None:
        """Until the server says that it serves."""
        deadline = Deadline(timeout)
        self._open()
        method = self._channel.unary_stream(health.WATCH, health.as_is, health.as_is)
        while True:
            try:
                for response in self._stream(method, health.WHOLE_SERVER, deadline.remaining):
                    if health.serving(response):
                        self._reached = True
                        return
            except (UnavailableError, DeadlineExceededError) as error:
                if deadline.passed:
                    raise deadline.exceeded(f"the server at {self.peer.address} was not ready") from error
                if not worth_repeating(error, deadline):
                    raise
            time.sleep(min(0.1, deadline.remaining))

    def _open(self) -> Stubs:
        if self._closed:
            raise RuntimeError("this client is closed")
        return self._stubs

    def _stream(
        self,
        method: grpc.UnaryStreamMultiCallable[Request, Response],
        request: Request,
        seconds: float,
    ) -> Iterator[Response]:
        with grpc_errors_become_ours(self.peer):
            call = method(request, timeout=grpc_timeout(seconds), metadata=self.peer.metadata())
            try:
                yield from call
            finally:
                call.cancel()


class _BulkConnection:
    """One StreamRecommend call."""

    def __init__(self, stubs: Stubs, bulk: Bulk, seconds: float, peer: Peer) -> None:
        self._peer = peer
        # There is always room: Bulk bounds what is in flight, so sending never waits.
        self._feed: Feed[recommendation_pb2.StreamRecommendRequest] = Feed(room=IN_FLIGHT + 1)
        self._feed.put(bulk.opening())
        self._call = stubs.stream_recommend(
            self._feed, timeout=grpc_timeout(seconds), metadata=peer.metadata()
        )

    def send(self, *requests: recommendation_pb2.StreamRecommendRequest | None) -> None:
        """Sends messages; None: there are no more."""
        for request in requests:
            if request is None:
                self._feed.close()
            else:
                self._feed.put(request)

    def read(self) -> bytes:
        """The next message."""
        with grpc_errors_become_ours(self._peer):
            for response in self._call:
                return response
        raise UnavailableError("the server stopped before it had answered")

    def end(self, answered: bool) -> None:
        """Closes; a call that has been answered is the server's to end, as who cancels looks like one who gave up."""
        if answered:
            self._await_end()
        self.close()

    def _await_end(self) -> None:
        hung = threading.Timer(END_SECONDS, self._call.cancel)
        hung.start()
        try:
            for _ in self._call:
                pass
        except grpc.RpcError:
            pass  # everything had been answered
        finally:
            hung.cancel()

    def close(self) -> None:
        """Ends the call, and the thread that sends."""
        self._call.cancel()
        self._feed.close()
