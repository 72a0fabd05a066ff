"""A hash of columns that does not depend on how they were cut into batches."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


class ContentHash:
    """SHA-256 over columns of text, float64 and int64 without nulls.

    A text column counts as two streams, the lengths and the bytes: joined over the batches, each is the same
    however the rows were cut.
    """

    def __init__(self) -> None:
        self._streams: dict[str, hashlib._Hash] = {}
        self.size = 0
        """Bytes taken in so far."""

    def update(self, table: pa.Table) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        for name in table.column_names:
            column = table.column(name)
            if pa.types.is_string(column.type):
                for chunk in column.chunks:
                    self._take(f"{name} lengths", pc.binary_length(chunk).cast(pa.int32()))
                    self._take(f"{name} bytes", chunk, text=True)
            else:
                for chunk in column.chunks:
                    self._take(name, chunk)

    def hexdigest(self) -> str:
        """Over the names and digests of all streams, 64 hex digits."""
        whole = hashlib.sha256()
        for name in sorted(self._streams):
            whole.update(f"{name} {self._streams[name].hexdigest()}\n".encode())
        return whole.hexdigest()

    def _take(self, stream: str, values: pa.Array, text: bool = False) -> None:
        import numpy as np

        if text:
            offsets = np.frombuffer(values.buffers()[1], dtype=np.int32)[
                values.offset : values.offset + len(values) + 1
            ]
            buffer = values.buffers()[2]
            data = b"" if buffer is None else memoryview(buffer)[int(offsets[0]) : int(offsets[-1])]
        else:
            data = np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).data.cast("B")
        self._streams.setdefault(stream, hashlib.sha256()).update(data)
        self.size += len(data)
