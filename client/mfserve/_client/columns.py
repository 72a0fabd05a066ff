"""Ratings out of whatever holds columns, in batches of plain Python values.

A pandas or polars DataFrame, an Arrow table, or a mapping of sequences: we import none of those libraries and ask
their objects only for ``data[name]``, a slice, and a list.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

from mfserve._client.arguments import ArgumentValueError, built, text
from mfserve.v1 import training_service_pb2 as pb

BATCH_ROWS = 5_000
"""Rows per message: with ids of the greatest length still under 4 MiB, the limit of an unconfigured server."""

Value = TypeVar("Value")


@runtime_checkable
class Columns(Protocol):
    """Anything with columns of equal length by name."""

    def __getitem__(self, name: str, /) -> Any:
        """The column: a sequence, or a Series, array or the like."""


class ColumnNames(NamedTuple):
    """Which columns hold what; None: there is none."""

    user: str
    item: str
    rating: str | None
    timestamp: str | None
    title: str | None


def checked(data: object) -> Columns:
    """The columns of a data set, or TypeError for what has none."""
    if not isinstance(data, str | bytes | list | tuple) and isinstance(data, Columns):
        return data
    raise TypeError(f"a data set is a name, a path or columns of ratings, not {type(data).__name__}")


def header(request_id: str, names: ColumnNames) -> pb.UploadDatasetRequest:
    """The first message of an upload."""
    return pb.UploadDatasetRequest(
        header=built(
            pb.UploadHeader,
            request_id=request_id,
            has_timestamps=names.timestamp is not None,
            has_titles=names.title is not None,
            implicit=names.rating is None,
        )
    )


def messages(data: Columns, names: ColumnNames) -> Iterator[pb.UploadDatasetRequest]:
    """The further messages of an upload, converted one at a time: batches, then the end with their number of rows.

    Raises ValueError for a column that is not there, TypeError or ValueError naming column and row for a value that
    no message could carry. A missing id or rating is carried (as an empty text, as NaN): what happens to bad rows is
    the training's choice.
    """
    columns = {name: _column(data, name) for name in names if name is not None}
    lengths = {name: len(column) for name, column in columns.items()}
    rows = lengths[names.user]
    if set(lengths.values()) != {rows}:
        raise ValueError(f"columns of unequal length: {lengths}")

    def read(name: str | None, start: int, convert: Callable[[Any], Value]) -> list[Value] | None:
        if name is None:
            return None
        values: list[Value] = []
        for value in _values(columns[name], start, start + BATCH_ROWS):
            try:
                values.append(convert(value))
            except (TypeError, ValueError, OverflowError) as error:
                raise type(error)(f"column {name!r}, row {start + len(values)}: {error}") from error
        return values

    def batch(start: int) -> pb.RatingBatch:
        try:
            return pb.RatingBatch(
                user_ids=read(names.user, start, _id),
                item_ids=read(names.item, start, _id),
                ratings=read(names.rating, start, _rating),
                timestamps=read(names.timestamp, start, _seconds),
                titles=read(names.title, start, _title),
            )
        except UnicodeEncodeError:
            for name, convert in ((names.user, _id), (names.item, _id), (names.title, _title)):
                read(name, start, _sendable(convert))
            raise

    for start in range(0, rows, BATCH_ROWS):
        yield pb.UploadDatasetRequest(batch=batch(start))
    yield pb.UploadDatasetRequest(end=pb.UploadEnd(rows=rows))


def _column(data: Columns, name: str) -> Any:
    try:
        column = data[name]
    except (KeyError, ValueError, TypeError) as error:
        known = _names(data)
        raise ArgumentValueError(f"there is no column {name!r} in the data set; it has {known}") from error
    # A NumPy column of times would give bare counts of its unit: seconds are what we send.
    if getattr(getattr(column, "dtype", None), "kind", None) == "M" and not hasattr(column, "iloc"):
        column = column.astype("datetime64[s]").astype("int64") if hasattr(column, "astype") else column
    return column


def _names(data: Columns) -> list[str]:
    names = data if isinstance(data, Mapping) else getattr(data, "column_names", getattr(data, "columns", ()))
    return [str(name) for name in names]


def _values(column: Any, start: int, stop: int) -> list[Any]:
    # A Series may be indexed by labels: iloc is by position.
    part = getattr(column, "iloc", column)[start:stop]
    for method in ("tolist", "to_list", "to_pylist"):
        if hasattr(part, method):
            values: list[Any] = getattr(part, method)()
            return values
    return list(part)


def _is_missing(value: Any) -> bool:
    # NaN by its value; pandas.NA and NaT by the names of their types, because we do not import pandas.
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return True
    return isinstance(value, float) and math.isnan(value)


def _id(value: Any) -> str:
    if isinstance(value, str):
        return value
    if _is_missing(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # a column of whole numbers with a gap is one of floats
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise TypeError(f"an id is a text or a whole number, not {value!r}")


def _rating(value: Any) -> float:
    return math.nan if _is_missing(value) else float(value)


def _seconds(value: Any) -> int:
    if _is_missing(value):
        raise ValueError("the time is missing")
    if isinstance(value, datetime):
        # Without a zone it counts as UTC, as pandas has it.
        value = (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return math.floor(float(value)) if isinstance(value, float) else int(value)


def _sendable(convert: Callable[[Any], str]) -> Callable[[Any], str]:
    return lambda value: text("it", convert(value))


def _title(value: Any) -> str:
    return "" if _is_missing(value) else str(value)
