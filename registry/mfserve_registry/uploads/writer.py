"""Writes one upload: batch by batch to a staged Parquet file, which gets its name at the end or vanishes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from mfserve_registry.errors import FailedPrecondition, InvalidArgument, ResourceExhausted
from mfserve_registry.uploads.content import ContentHash
from mfserve_registry.uploads.types import Upload, UploadColumn, UploadLimits

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Texts = Sequence[str] | NDArray[np.object_]
    Floats = Sequence[float] | NDArray[np.floating[Any]]
    Integers = Sequence[int] | NDArray[np.integer[Any]]

# Batches come in any size; the file is cut into row groups of this many rows, which bounds the memory needed here.
ROW_GROUP = 131_072

Finish = Callable[[Path, str, str, int], Upload]
"""Takes the staged file, its SHA-256, the content hash and the rows."""


class UploadWriter:
    """Takes the batches of one upload. A context manager: leaving it without ``commit`` leaves nothing behind.

    Not safe to share between threads, but may move from one to another.
    """

    def __init__(
        self, staged: Path, columns: Sequence[UploadColumn], limits: UploadLimits, finish: Finish
    ) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        types = {
            UploadColumn.USER: pa.string(),
            UploadColumn.ITEM: pa.string(),
            UploadColumn.RATING: pa.float64(),
            UploadColumn.TIMESTAMP: pa.int64(),
            UploadColumn.TITLE: pa.string(),
        }
        self._schema = pa.schema([pa.field(column, types[column], nullable=False) for column in columns])
        self._limits = limits
        self._finish = finish
        self._staged = staged
        self._content = ContentHash()
        self._pending: list[pa.Table] = []
        self._pending_rows = 0
        self._rows = 0
        self._open = True
        self._file = staged.open("xb")
        self._parquet = pq.ParquetWriter(self._file, self._schema, compression="zstd")

    def append(
        self,
        users: Texts,
        items: Texts,
        ratings: Floats | None = None,
        timestamps: Integers | None = None,
        titles: Texts | None = None,
    ) -> None:
        """Adds a batch of rows, column by column. Lists and numpy arrays will do.

        Whether a value makes sense (an empty id, a rating outside the scale) is for the training to judge.

        Raises:
            InvalidArgument: columns of different lengths, one that the upload does not have or lacks,
                or values of the wrong type.
            ResourceExhausted: UPLOAD_TOO_LARGE; the upload is over and nothing is left of it.
        """
        self._check_open()
        given: dict[UploadColumn, Any] = {
            UploadColumn.USER: users,
            UploadColumn.ITEM: items,
            UploadColumn.RATING: ratings,
            UploadColumn.TIMESTAMP: timestamps,
            UploadColumn.TITLE: titles,
        }
        table = _table({name: values for name, values in given.items() if values is not None}, self._schema)
        self._content.update(table)
        self._rows += len(table)
        if self._rows > self._limits.rows or self._content.size > self._limits.content_bytes:
            self.abort()
            raise ResourceExhausted(
                f"An upload has at most {self._limits.rows:,} rows and {self._limits.content_bytes:,} bytes.",
                reason="UPLOAD_TOO_LARGE",
                metadata={
                    "max_rows": str(self._limits.rows),
                    "max_bytes": str(self._limits.content_bytes),
                },
            )
        self._pending.append(table)
        self._pending_rows += len(table)
        while self._pending_rows >= ROW_GROUP:
            self._write(ROW_GROUP)

    def commit(self) -> Upload:
        """Makes the upload durable and known.

        Returns:
            The upload; where an upload of this ``request_id`` has the same content, however it was cut into batches,
            that one.

        Raises:
            InvalidArgument: UPLOAD_EMPTY, no rows.
            AlreadyExists: REQUEST_ID_REUSED, the upload of this ``request_id`` has other columns or content.
        """
        self._check_open()
        try:
            if self._rows == 0:
                raise InvalidArgument("The upload has no rows.", reason="UPLOAD_EMPTY", field="batch")
            if self._pending_rows:
                self._write(self._pending_rows)
            self._parquet.close()
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            with self._staged.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return self._finish(self._staged, sha256, self._content.hexdigest(), self._rows)
        finally:
            self.abort()

    def abort(self) -> None:
        """Gives up; nothing is left behind. After ``commit`` it does nothing."""
        self._open = False
        self._pending.clear()
        if not self._file.closed:
            # The Parquet writer insists on writing a footer; on a full disk that needs the room first.
            with suppress(OSError):
                os.ftruncate(self._file.fileno(), 0)
            with suppress(OSError):
                self._parquet.close()
            with suppress(OSError):
                self._file.close()
        self._staged.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _write(self, rows: int) -> None:
        import pyarrow as pa

        joined = pa.concat_tables(self._pending)
        self._parquet.write_table(joined.slice(0, rows).combine_chunks(), row_group_size=ROW_GROUP)
        rest = joined.slice(rows)
        self._pending = [rest] if len(rest) else []
        self._pending_rows = len(rest)

    def _check_open(self) -> None:
        if not self._open:
            raise FailedPrecondition("The upload is over.", reason="UPLOAD_CLOSED")


def _table(given: dict[UploadColumn, Any], schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    for name in UploadColumn:
        if (name in given) != (name in schema.names):
            raise InvalidArgument(
                f"The upload {'has no' if name in given else 'needs the'} column {name} in its batches.",
                field=name,
            )
    if len({len(values) for values in given.values()}) > 1:
        lengths = ", ".join(f"{name} {len(values)}" for name, values in given.items())
        raise InvalidArgument(f"The columns of a batch have different lengths: {lengths}.")
    arrays = []
    for name in schema.names:
        try:
            array = pa.array(given[UploadColumn(name)], type=schema.field(name).type)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            array = None
        if array is None or array.null_count:
            raise InvalidArgument(
                f"The column {name} has a value that is missing or no {schema.field(name).type}.",
                field=name,
            )
        arrays.append(array)
    return pa.Table.from_arrays(arrays, schema=schema)
