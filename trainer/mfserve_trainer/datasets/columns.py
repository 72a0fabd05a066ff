"""Turns a file's columns into codes and numbers, and says which fields are wrong and why; vectorised."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
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

_PIECE_ROWS = 1 << 20


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
        values: float32 or float64 (n,), as was asked for; NaN where there is none, and infinite where the type cannot
            hold it.
        missing: bool (n,), an empty or null field.
    """

    values: NDArray[np.floating[Any]]
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


def read_numbers(
    column: Column, *, source: str, name: str, dtype: type[np.floating[Any]] = np.float64
) -> Numbers:
    """Reads numbers or their decimal notation; what is no finite number becomes NaN.

    Args:
        column: of text or of any type of number, or coded.
        source: how messages name the file.
        name: the column's, in messages.
        dtype: float32 or float64, of the values.

    Raises:
        InvalidArgument: DATASET_INVALID: a type that is neither text nor number.
    """
    import pyarrow as pa

    convert = _number_reader(value_type(column), source, name)
    values = np.empty(len(column), dtype=dtype)
    missing = np.empty(len(column), dtype=np.bool_)
    # Chunk by chunk, where they are coded: a measured value may be different on every row, and one dictionary of all is
    # dear.
    most = max(1, len(column)) if pa.types.is_dictionary(column.type) else _PIECE_ROWS
    with np.errstate(over="ignore"):
        for rows, piece in _pieces(column, most):
            values[rows], missing[rows] = convert(piece)
    return Numbers(values, missing)


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
    codes = np.empty(len(column), dtype=np.int32)
    for rows, piece in _pieces(column):
        codes[rows] = piece.indices.cast(pa.int32()).fill_null(-1)
    return codes, column.chunk(0).dictionary


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


def _pieces(column: Column, most: int = _PIECE_ROWS) -> Iterator[tuple[slice, Any]]:
    """Which rows, and the pyarrow array of them: at most so many at a time, so that copies of a piece are small."""
    begin = 0
    for chunk in column.chunks:
        for start in range(0, len(chunk), most):
            piece = chunk.slice(start, most)
            yield slice(begin, begin + len(piece)), piece
            begin += len(piece)


_Converted = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Values, and which are missing: float64 (n,) and bool (n,)."""


def _number_reader(kind: Any, source: str, name: str) -> Callable[[Any], _Converted]:
    """How arrays whose values have this pyarrow type are read."""
    import pyarrow as pa

    convert: Callable[[Any], _Converted]
    if is_text(kind) or pa.types.is_null(kind):
        convert = _parse_numbers
    elif (
        pa.types.is_timestamp(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
    ):
        convert = _convert_numbers
    else:
        raise invalid(source, f"has values of type {kind} in column {name!r}; they must be numbers.")

    def decode(array: Any) -> _Converted:
        if not pa.types.is_dictionary(array.type):
            return convert(array)
        codes = np.asarray(array.indices.fill_null(-1), dtype=np.int64)
        values, missing = convert(array.dictionary)
        # Appended for the code -1.
        return np.append(values, np.nan)[codes], np.append(missing, np.True_)[codes]

    return decode


def _convert_numbers(array: Any) -> _Converted:
    import pyarrow as pa

    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("s"), safe=False).cast(pa.int64())
    # NaN is how a float column says that nothing is there.
    missing = np.asarray(array.is_null(nan_is_null=True), dtype=np.bool_)
    values = np.asarray(array.cast(pa.float64(), safe=False).fill_null(np.nan), dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan), missing


def _parse_numbers(texts: Any) -> _Converted:
    import pyarrow as pa
    from pyarrow import compute

    values = np.full(len(texts), np.nan)
    if pa.types.is_null(texts.type):
        return values, np.ones(len(texts), dtype=np.bool_)
    raw = texts.cast(pa.large_binary())
    empty = np.asarray(compute.equal(compute.binary_length(raw), 0).fill_null(True), dtype=np.bool_)
    is_number = compute.match_substring_regex(raw, _NUMBER).fill_null(False)
    decimal = raw.filter(is_number).cast(pa.large_string())  # ASCII only, so this cannot fail
    bare = compute.utf8_ltrim(compute.utf8_trim_whitespace(decimal), "+")
    parsed = np.asarray(bare.cast(pa.float64()), dtype=np.float64)
    # 1e999 is a number, but not one that anybody can compute with.
    values[np.asarray(is_number, dtype=np.bool_)] = np.where(np.isfinite(parsed), parsed, np.nan)
    return values, empty


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
