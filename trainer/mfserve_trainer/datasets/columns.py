"""Turns a file's columns into codes and numbers, and says which fields are wrong and why; vectorised."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_trainer.datasets.raw import Column, invalid

MAX_ID_BYTES = 256
"""Longest id, in bytes of UTF-8."""

# Decimal notation only: no "nan", "inf", "1_000" or "0x10".
_NUMBER = r"^[ \t]*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?[ \t]*$"
_LARGEST_EXACT = 2.0**53


class Fault(enum.IntEnum):
    """Why a row is bad; the names in lower case are the reasons in ``Ratings.skipped``."""

    NONE = 0
    MISSING_FIELD = 1
    NOT_UTF8 = 2
    ID_TOO_LONG = 3
    ID_NOT_WHOLE = 4
    NOT_A_NUMBER = 5
    OUTSIDE_SCALE = 6
    BAD_TIMESTAMP = 7
    FIELD_COUNT = 8
    DUPLICATE = 9


Faults = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Ids:
    """A column of ids.

    Attributes:
        codes: int32 (n,), into ``values``; -1 where the field is missing.
        values: distinct; "" in place of what is no id.
        faults: uint8 (len(values) + 1,), of ``Fault``; the last one is a missing field's, so that a code of
            -1 finds it.
    """

    codes: NDArray[np.int32]
    values: list[str]
    faults: Faults

    def fault_of_rows(self) -> Faults:
        """uint8 (n,)."""
        return self.faults[self.codes]


@dataclass(frozen=True, slots=True)
class Numbers:
    """A column of numbers.

    Attributes:
        values: float64 (n,); NaN where there is none.
        missing: bool (n,), an empty or null field.
    """

    values: NDArray[np.float64]
    missing: NDArray[np.bool_]


def read_ids(column: Column, *, source: str, name: str) -> Ids:
    """Reads ids as text: "007" stays "007", the integer 7 becomes "7", and so does 7.0.

    A float column is what pandas makes of integers where one is missing, so whole floats below 2**53 are
    taken for the integers they were; any other float is a bad row.

    Raises:
        InvalidArgument: DATASET_INVALID: a type that is neither text nor number.
    """
    import pyarrow as pa

    kind = value_type(column)
    if not (
        is_text(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_null(kind)
    ):
        raise invalid(
            source, f"has ids of type {kind} in column {name!r}; they must be text or whole numbers."
        )
    codes, distinct = encode(column)
    if is_text(kind):
        return _ids(codes, [_decode(value) for value in _as_bytes(distinct)])
    if pa.types.is_integer(kind):
        return _ids(
            codes, [_MISSING if value is None else (str(value), Fault.NONE) for value in distinct.to_pylist()]
        )
    return _ids(codes, [_whole(value) for value in distinct.to_pylist()])


def read_numbers(column: Column, *, source: str, name: str) -> Numbers:
    """Reads numbers or their decimal notation; what is no finite number becomes NaN.

    Raises:
        InvalidArgument: DATASET_INVALID: a type that is neither text nor number.
    """
    import pyarrow as pa

    kind = value_type(column)
    if pa.types.is_dictionary(column.type):
        # Chunk by chunk: a measured value may be different on every row, and one dictionary of all is dear.
        parts = [_decode_numbers(chunk, source, name) for chunk in column.chunks]
        return _joined(parts)
    if is_text(kind) or pa.types.is_null(kind):
        return _joined([_parse_numbers(chunk) for chunk in column.chunks])
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise invalid(source, f"has values of type {kind} in column {name!r}; they must be numbers.")
    # NaN is how a float column says that nothing is there.
    missing = np.asarray(column.is_null(nan_is_null=True), dtype=np.bool_)
    values = np.asarray(column.cast(pa.float64(), safe=False).fill_null(np.nan), dtype=np.float64)
    return Numbers(np.where(np.isfinite(values), values, np.nan), missing)


def read_titles(column: Column, *, source: str, name: str) -> Ids:
    """Reads titles like ids, only that no title is at fault: what is no UTF-8 is replaced by U+FFFD.

    Raises:
        InvalidArgument: DATASET_INVALID: a type other than text.
    """
    import pyarrow as pa

    kind = value_type(column)
    if pa.types.is_null(kind):
        return _ids(np.full(len(column), -1, dtype=np.int32), [])
    if not is_text(kind):
        raise invalid(source, f"has values of type {kind} in column {name!r}; titles must be text.")
    codes, distinct = encode(column)
    texts = ["" if value is None else value.decode(errors="replace").strip() for value in _as_bytes(distinct)]
    return _ids(codes, [(text, Fault.NONE) for text in texts])


def encode(column: Column) -> tuple[NDArray[np.int32], Any]:
    """Codes int32 (n,), -1 for null, and the pyarrow array of the values they point into."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), -1, dtype=np.int32), pa.array([], pa.null())
    if not pa.types.is_dictionary(kind):
        if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
            column = column.cast(pa.large_binary())
        column = column.dictionary_encode()
    column = column.unify_dictionaries()
    if column.num_chunks == 0:
        return np.empty(0, dtype=np.int32), pa.array([], column.type.value_type)
    codes = [
        np.asarray(chunk.indices.cast(pa.int32()).fill_null(-1), dtype=np.int32) for chunk in column.chunks
    ]
    return np.concatenate(codes), column.chunk(0).dictionary


_MISSING = ("", Fault.MISSING_FIELD)


def _ids(codes: NDArray[np.int32], judged: list[tuple[str, Fault]]) -> Ids:
    place = {value: new for new, value in enumerate(dict.fromkeys(judged))}
    if len(place) < len(judged):
        # A file's dictionary may hold a value twice, and all faulty values look alike.
        new_code = np.array([*(place[value] for value in judged), -1], dtype=np.int32)
        codes = new_code[codes]
    faults = np.array([*(fault for _, fault in place), Fault.MISSING_FIELD], dtype=np.uint8)
    return Ids(codes, [value for value, _ in place], faults)


def _decode(value: bytes | None) -> tuple[str, Fault]:
    if not value:
        return _MISSING
    if len(value) > MAX_ID_BYTES:
        return "", Fault.ID_TOO_LONG
    try:
        return value.decode(), Fault.NONE
    except UnicodeDecodeError:
        return "", Fault.NOT_UTF8


def _whole(value: float | None) -> tuple[str, Fault]:
    if value is None or np.isnan(value):
        return _MISSING
    if abs(value) >= _LARGEST_EXACT or value != int(value):
        return "", Fault.ID_NOT_WHOLE
    return str(int(value)), Fault.NONE


def _joined(parts: list[Numbers]) -> Numbers:
    return Numbers(
        np.concatenate([np.empty(0), *(part.values for part in parts)]),
        np.concatenate([np.empty(0, dtype=np.bool_), *(part.missing for part in parts)]),
    )


def _decode_numbers(chunk: Any, source: str, name: str) -> Numbers:
    import pyarrow as pa

    codes = np.asarray(chunk.indices.fill_null(-1), dtype=np.int64)
    distinct = read_numbers(pa.chunked_array([chunk.dictionary]), source=source, name=name)
    # Appended for the code -1.
    return Numbers(np.append(distinct.values, np.nan)[codes], np.append(distinct.missing, np.True_)[codes])


def _parse_numbers(texts: Any) -> Numbers:
    import pyarrow as pa
    from pyarrow import compute

    values = np.full(len(texts), np.nan)
    if pa.types.is_null(texts.type):
        return Numbers(values, np.ones(len(texts), dtype=np.bool_))
    raw = texts.cast(pa.large_binary())
    empty = np.asarray(compute.equal(compute.binary_length(raw), 0).fill_null(True), dtype=np.bool_)
    is_number = compute.match_substring_regex(raw, _NUMBER).fill_null(False)
    decimal = raw.filter(is_number).cast(pa.large_string())  # ASCII only, so this cannot fail
    bare = compute.utf8_ltrim(compute.utf8_trim_whitespace(decimal), "+")
    parsed = np.asarray(bare.cast(pa.float64()), dtype=np.float64)
    # 1e999 is a number, but not one that anybody can compute with.
    values[np.asarray(is_number, dtype=np.bool_)] = np.where(np.isfinite(parsed), parsed, np.nan)
    return Numbers(values, empty)


def value_type(column: Column) -> Any:
    """The pyarrow type of the values, also where they are coded."""
    import pyarrow as pa

    return column.type.value_type if pa.types.is_dictionary(column.type) else column.type


def is_text(kind: Any) -> bool:
    """Whether a pyarrow type holds text or bytes."""
    import pyarrow as pa

    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary_view(kind)
    )


def _as_bytes(texts: Any) -> list[bytes | None]:
    import pyarrow as pa

    values: list[bytes | None] = texts.cast(pa.large_binary()).to_pylist()
    return values
