"""Takes an upload in: batch by batch to disk, each before the next is read, so that a fast sender has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence, Sized
from contextlib import aclosing
from functools import partial
from threading import Lock

from mfserve.v1 import training_service_pb2 as pb
from mfserve_registry import Upload, UploadColumn, UploadWriter
from mfserve_registry.errors import FailedPrecondition, InvalidArgument
from mfserve_registry.names import check_request_id
from mfserve_registry.uploads import Uploads
from mfserve_server.checks import MAX_UPLOAD_BATCH, check_count
from mfserve_server.errors import under
from mfserve_server.executors import Executors


async def receive_upload(
    requests: AsyncIterator[pb.UploadDatasetRequest], uploads: Uploads, executors: Executors
) -> Upload:
    """The stored upload. Whatever ends the stream early leaves nothing behind.

    Raises:
        InvalidArgument: STREAM_OUT_OF_ORDER, UPLOAD_INCOMPLETE, UPLOAD_EMPTY, or a field is wrong.
        ResourceExhausted: UPLOAD_TOO_LARGE.
        AlreadyExists: REQUEST_ID_REUSED.
        Unavailable: the registry does not answer.
    """
    header = await _header(requests)
    columns = [
        column
        for column, sent in (
            (UploadColumn.RATING, not header.implicit),
            (UploadColumn.TIMESTAMP, header.has_timestamps),
            (UploadColumn.TITLE, header.has_titles),
        )
        if sent
    ]
    with under("header"):
        check_request_id(header.request_id)
    executors.require_registry()  # or all would be sent in vain
    reception = _Reception(uploads, header.request_id, columns)
    try:
        async with aclosing(_batches(requests)) as batches:
            async for batch in batches:
                await executors.storing(reception.append, batch, header)
        executors.require_registry()
        return await executors.storing(reception.commit)
    finally:
        # Shielded: the caller who hangs up cancels this task, but not the cleaning up.
        await asyncio.shield(executors.storing(reception.close))


class _Reception:
    """An upload under way. A caller who hangs up may leave a call in its thread: ``close`` then waits for it."""

    def __init__(self, uploads: Uploads, request_id: str, columns: Sequence[UploadColumn]) -> None:
        self._create = partial(uploads.create, request_id, columns)
        self._writer: UploadWriter | None = None
        self._closed = False
        self._lock = Lock()

    def append(self, batch: pb.RatingBatch, header: pb.UploadHeader) -> None:
        check_batch(batch, header)
        with self._lock, under("batch"):
            self._open().append(
                list(batch.user_ids),
                list(batch.item_ids),
                None if header.implicit else list(batch.ratings),
                list(batch.timestamps) if header.has_timestamps else None,
                list(batch.titles) if header.has_titles else None,
            )

    def commit(self) -> Upload:
        with self._lock:
            return self._open().commit()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if self._writer is not None:
                self._writer.abort()

    def _open(self) -> UploadWriter:
        if self._closed:
            raise FailedPrecondition("The upload is over.", reason="UPLOAD_CLOSED")
        if self._writer is None:
            self._writer = self._create()
        return self._writer


def check_batch(batch: pb.RatingBatch, header: pb.UploadHeader) -> None:
    """InvalidArgument where the batch has no rows, too many, or columns that differ from the header or in length."""
    check_count(batch.user_ids, "batch.user_ids", most=MAX_UPLOAD_BATCH)
    columns: dict[str, tuple[Sized, bool]] = {
        "batch.item_ids": (batch.item_ids, True),
        "batch.ratings": (batch.ratings, not header.implicit),
        "batch.timestamps": (batch.timestamps, header.has_timestamps),
        "batch.titles": (batch.titles, header.has_titles),
    }
    for field, (values, announced) in columns.items():
        expected = len(batch.user_ids) if announced else 0
        if len(values) != expected:
            raise InvalidArgument(
                f"There must be {expected:,} values here, as many as users, or none where the header says so; "
                f"not {len(values):,}.",
                field=field,
            )


async def _header(requests: AsyncIterator[pb.UploadDatasetRequest]) -> pb.UploadHeader:
    async for request in requests:
        if request.WhichOneof("message") == "header":
            return request.header
        break
    raise InvalidArgument(
        "The first message of an upload is its header.", reason="STREAM_OUT_OF_ORDER", field="header"
    )


async def _batches(requests: AsyncIterator[pb.UploadDatasetRequest]) -> AsyncGenerator[pb.RatingBatch]:
    """The batches, up to an end that counts their rows.

    The end of the stream is no proof that all of it has come: grpc may hand us one, and not a cancellation, where the
    caller broke off.
    """
    rows = 0
    end: pb.UploadEnd | None = None
    async for request in requests:
        kind = request.WhichOneof("message")
        if end is not None:
            raise InvalidArgument(
                "After its end an upload has no messages.", reason="STREAM_OUT_OF_ORDER", field=kind
            )
        if kind == "end":
            end = request.end
        elif kind == "batch":
            yield request.batch
            rows += len(request.batch.user_ids)
        else:
            raise InvalidArgument(
                "After its header an upload has batches and its end only.",
                reason="STREAM_OUT_OF_ORDER",
                field="batch",
            )
    if end is None:
        raise _incomplete("The upload broke off before its last message.", rows, "end")
    if end.rows != rows:
        raise _incomplete(f"The upload has {rows:,} rows, but its end counts {end.rows:,}.", rows, "end.rows")


def _incomplete(message: str, rows: int, field: str) -> InvalidArgument:
    return InvalidArgument(message, reason="UPLOAD_INCOMPLETE", field=field, metadata={"rows": str(rows)})
