"""What an upload is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class UploadColumn(StrEnum):
    """A column of the Parquet file, under the names that file data sets have by default."""

    USER = "user_id"
    """Text; every upload has it."""
    ITEM = "item_id"
    """Text; every upload has it."""
    RATING = "rating"
    """float64; every upload has it but one of implicit data."""
    TIMESTAMP = "timestamp"
    """int64, whole seconds since the epoch."""
    TITLE = "title"
    """Text: a title of the row's item."""


REQUIRED = (UploadColumn.USER, UploadColumn.ITEM)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """How much one upload may hold.

    Attributes:
        rows: ratings.
        content_bytes: UTF-8 bytes of all texts plus 8 for each number and 4 for each text's length.
    """

    rows: int = 200_000_000
    content_bytes: int = 8 * 2**30


@dataclass(frozen=True, slots=True)
class Upload:
    """Ratings in the store.

    Attributes:
        upload_id: given by the registry.
        request_id: the caller's.
        rows: ratings.
        size_bytes: size of the Parquet file.
        sha256: of the Parquet file, 64 hex digits.
        content_hash: of columns and rows, whatever the batches and the file were like; 64 hex digits.
        columns: its columns, in the file's order.
        created_at: when it was committed.
    """

    upload_id: str
    request_id: str
    rows: int
    size_bytes: int
    sha256: str
    content_hash: str
    columns: tuple[UploadColumn, ...]
    created_at: datetime
