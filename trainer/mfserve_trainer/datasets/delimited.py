"""Reads CSV and TSV: columns coded while they are parsed, malformed records named by their line."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from mfserve_trainer.datasets.raw import Columns, Malformed, RawRows, invalid, missing_column, shorten

if TYPE_CHECKING:
    import _csv  # where the type of csv.reader's answers lives before Python 3.12

Opener = Callable[[], BinaryIO]

# pyarrow parses block by block and refuses a record that does not fit into one.
_BLOCK_BYTES = 8 << 20
_SCAN_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Dialect:
    """How fields are told apart.

    Attributes:
        delimiter: one ASCII character.
        quoted: fields may be in double quotes, a quote inside them doubled (RFC 4180). Without it a quote is
            a character like any other.
        header: the names of the fields where the file has no header line.
    """

    delimiter: str = ","
    quoted: bool = True
    header: tuple[str, ...] | None = None


CSV = Dialect()
TSV = Dialect(delimiter="\t")


def read_delimited(open_file: Opener, columns: Columns, dialect: Dialect, *, source: str) -> RawRows:
    """Reads the columns of a UTF-8 text file (a byte order mark is allowed).

    Args:
        open_file: opens the file for reading bytes; called more than once.
        columns: which ones are wanted.
        dialect: how fields are told apart.
        source: how messages name the file.

    Raises:
        InvalidArgument: DATASET_INVALID: no text, no header, a column missing or twice, or a quote that is
            never closed.
    """
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    header = dialect.header or _read_header(open_file, dialect, source)
    names = columns.by_role()
    for role, name in names.items():
        if name not in header:
            raise missing_column(source, role, name, header)
        if header.count(name) > 1:
            raise invalid(
                source, f"has {header.count(name)} columns called {shorten(name)!r}; rename all but one."
            )
    malformed: list[Malformed] = []

    def set_aside(row: Any) -> str:
        malformed.append(Malformed(row.number, row.actual_columns))
        return "skip"

    # Users, items, ratings and titles repeat, so each distinct text is kept once. Timestamps hardly repeat.
    coded = pa.dictionary(pa.int32(), pa.string())
    types = {_latin(name): pa.string() if role == "timestamp" else coded for role, name in names.items()}
    try:
        with open_file() as file:
            _skip_byte_order_mark(file)
            table = pa_csv.read_csv(
                file,
                # One thread: only then does pyarrow number the malformed records.
                read_options=pa_csv.ReadOptions(
                    use_threads=False,
                    block_size=_BLOCK_BYTES,
                    column_names=dialect.header,
                    # Every byte is a character of Latin-1: one byte that is no UTF-8 then costs one row and
                    # not the file. _true_bytes undoes it.
                    encoding="latin-1",
                ),
                parse_options=pa_csv.ParseOptions(
                    delimiter=dialect.delimiter,
                    quote_char='"' if dialect.quoted else False,
                    newlines_in_values=dialect.quoted,
                    # An empty line then counts as a record, which keeps the record numbers right.
                    ignore_empty_lines=False,
                    invalid_row_handler=set_aside,
                ),
                convert_options=pa_csv.ConvertOptions(
                    column_types=types,
                    include_columns=list(types),
                    strings_can_be_null=False,
                ),
            )
    except pa.ArrowException as error:
        raise invalid(
            source,
            f"cannot be read as text in columns; is a row longer than {_BLOCK_BYTES >> 20} MiB?",
        ) from error
    records = table.num_rows + len(malformed) + (dialect.header is None)
    if dialect.quoted:
        lines, last = _counted(open_file)
        if lines > records or _is_left_open(last, dialect):
            _refuse_stray_quote(open_file, dialect, source)
    return RawRows(
        source=source,
        read=lambda role: _true_bytes(table.column(_latin(names[role]))),
        names=names,
        locate=lambda records: _lines(open_file, dialect, records),
        first_record=1 if dialect.header else 2,
        malformed=malformed,
        expected_fields=len(header),
        blank_lines=True,
    )


def _latin(name: str) -> str:
    """The name as it looks when its UTF-8 bytes are read as Latin-1."""
    return name.encode().decode("latin-1")


def _skip_byte_order_mark(file: BinaryIO) -> None:
    if file.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
        file.seek(0)


def _true_bytes(column: Any) -> Any:
    """The column with the bytes that stand in the file, in place of Latin-1's characters."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        return column
    chunks = [
        pa.DictionaryArray.from_arrays(chunk.indices, _encode_latin(chunk.dictionary))
        for chunk in column.chunks
    ]
    return pa.chunked_array(chunks, pa.dictionary(pa.int32(), pa.binary()))


def _encode_latin(texts: Any) -> Any:
    import pyarrow as pa
    from pyarrow import compute

    # None where there are no texts.
    if compute.all(compute.string_is_ascii(texts)).as_py() is not False:
        return texts.cast(pa.binary())
    return pa.array([text.encode("latin-1") for text in texts.to_pylist()], pa.binary())


def _read_header(open_file: Opener, dialect: Dialect, source: str) -> tuple[str, ...]:
    try:
        with _as_text(open_file) as text:
            header = next(_parse(text, dialect), None)
            has_rows = next(text, None) is not None
        names = tuple(name.encode("latin-1").decode() for name in header or ())
    except UnicodeDecodeError as error:
        raise invalid(source, "has a header line that is no UTF-8 text; save it as UTF-8.") from error
    except csv.Error as error:
        raise invalid(source, "does not begin with a header line that names the columns.") from error
    if header is None:
        raise invalid(source, "is empty.")
    if not any(names):
        raise invalid(source, "begins with an empty line; its first line must name the columns.")
    if not has_rows:
        raise invalid(source, "has a header line and no rows.")
    return names


def _counted(open_file: Opener) -> tuple[int, bytes]:
    """How many lines there are, one that has no end counted too; and the last that is not empty."""
    ended, last = 0, b""
    with open_file() as file:
        while block := file.read(_SCAN_BYTES):
            ended += block.count(b"\n")
            last += block
            last = last[last.rstrip(b"\r\n").rfind(b"\n") + 1 :]
    return ended + (last != b"" and not last.endswith(b"\n")), last


def _is_left_open(line: bytes, dialect: Dialect) -> bool:
    """Whether a line ends within quotes, as the last one of a file may that was cut off."""
    try:  # then another line is a part of it
        return len(list(_parse([f"{line.decode('latin-1').rstrip()}\n", "another"], dialect))) < 2
    except csv.Error:  # a field beyond Python's limit
        return False


def _refuse_stray_quote(open_file: Opener, dialect: Dialect, source: str) -> None:
    """Where fields span lines, makes sure that they are meant to.

    A quote that is opened and not closed takes the rows after it into its field, up to the next quote or to the
    end: rows would be lost that nobody counted, whatever the policy on bad rows. In the last row it
    tells of a file that was cut off.
    """
    with _as_text(open_file) as text:
        reader = _parse(text, dialect, strict=True)
        begins = 1
        try:
            for _ in reader:
                begins = reader.line_num + 1
        except csv.Error as error:
            raise invalid(
                source,
                f'has a quote (") out of place, or never closed, in the row that begins on line {begins}.',
            ) from error


def _lines(open_file: Opener, dialect: Dialect, records: Sequence[int]) -> list[str]:
    """Where records begin, in words; a record that spans lines moves all that follow it."""
    if not dialect.quoted or not _has_quotes(open_file):
        return [f"line {record}" for record in records]
    wanted = set(records)
    found: dict[int, int] = {}
    with _as_text(open_file) as text:
        try:
            for record, line in enumerate(_beginnings(text, dialect), 1):
                if record in wanted:
                    found[record] = line
                    if len(found) == len(wanted):
                        break
        except csv.Error:
            pass  # a field beyond Python's limit: the record's number still says where it is
    return [f"line {found[record]}" if record in found else f"record {record}" for record in records]


def _has_quotes(open_file: Opener) -> bool:
    with open_file() as file:
        return any(b'"' in block for block in iter(lambda: file.read(_SCAN_BYTES), b""))


def _beginnings(text: io.TextIOWrapper, dialect: Dialect) -> Iterator[int]:
    """The line on which each record begins; the first is 1."""
    reader = _parse(text, dialect)
    begins = 1
    for _ in reader:
        yield begins
        begins = reader.line_num + 1


@contextmanager
def _as_text(open_file: Opener) -> Iterator[io.TextIOWrapper]:
    """The file as Latin-1, in which every byte is a character, after its byte order mark."""
    with open_file() as file:
        _skip_byte_order_mark(file)
        with io.TextIOWrapper(file, "latin-1", newline="") as text:
            yield text


def _parse(text: Iterable[str], dialect: Dialect, *, strict: bool = False) -> _csv.Reader:
    if dialect.quoted:
        return csv.reader(text, delimiter=dialect.delimiter, strict=strict)
    return csv.reader(text, delimiter=dialect.delimiter, quoting=csv.QUOTE_NONE)
