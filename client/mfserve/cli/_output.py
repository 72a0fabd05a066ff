"""What people see (tables on standard output, notes on standard error) and what programs read (JSON)."""

from __future__ import annotations

import array
import io
import json
import math
import os
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mfserve.cli._wrapping import fitted, wrapped


class CommandError(Exception):
    """A command cannot do what was asked; the text is one line for the person who asked."""

    exit_code = 1


class UsageError(CommandError):
    """What was asked is wrong by itself, so that no server would do it."""

    exit_code = 2


class NotPromotedError(CommandError):
    """A training has published its version, and the alias that it was to move stays where it is."""

    exit_code = 3


_READER_GONE = 141
"""What a shell reports of a program that SIGPIPE ended."""


class _Output(io.FileIO):
    """Standard output, at whose end somebody may leave (``| head``): then we end without a word, as others do.

    Not by SIGPIPE itself, which would come for a server's connections too; and here, below all who write, because
    each of the libraries that do has an exit code of its own for it.
    """

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            os._exit(_READER_GONE)


def prepare() -> None:
    """Sees to a reader who leaves, and to one whose encoding lacks a character, which then is written as its escape."""
    output = sys.stdout
    # None where it was closed before we began.
    if isinstance(output, io.TextIOWrapper) and output is sys.__stdout__:
        buffer = io.BufferedWriter(_Output(output.fileno(), "w", closefd=False))
        sys.stdout = io.TextIOWrapper(
            buffer, encoding=output.encoding, newline="\n", line_buffering=output.line_buffering
        )
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


# A pipe or a file gets lines as long as their tables need, not ones broken at an imagined terminal's width.
_PIPED_WIDTH = 200


def console() -> Console:
    """Standard output."""
    terminal = Console(emoji=False)
    return terminal if terminal.is_terminal else Console(width=_PIPED_WIDTH, emoji=False)


def say(markup: str) -> None:
    """Prints a note for a person on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False, emoji=False).print(markup)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table.

    A column whose name ends in "#" is aligned to the right, one whose name ends in "!" stays as wide as its widest
    cell, as what people copy has to; neither sign is shown. A narrow terminal gets cells of several lines, and where a
    word would have to be broken, each row is a list of its cells. Nothing is cut.
    """
    output = console()
    values = [list(row) for row in rows]
    cells = [[_cell(value) for value in row] for row in values]
    names = [column.rstrip("#!") for column in columns]
    natural = [max(map(cell_len, column)) for column in zip(names, *cells, strict=True)]
    widths: list[int] | None = natural
    between = 3 * (len(columns) - 1)
    if output.is_terminal and sum(natural) + between > output.width:
        cells = [[_cell(value, narrow=True) for value in row] for row in values]
        widths = fitted(columns, [names, *cells], output.width - between)
    # Not the table's own title, which would be broken to the table's width.
    output.print(Text(_cell(title), style="bold"), soft_wrap=True)
    if widths is None:
        _print_lists(output, names, cells)
        return
    drawn = Table(show_edge=False, pad_edge=False)
    for column, name, width in zip(columns, names, widths, strict=True):
        drawn.add_column(
            name, justify="right" if column.endswith("#") else "left", width=width, overflow="fold"
        )
    for row in cells:
        drawn.add_row(*(Text(wrapped(cell, width)) for cell, width in zip(row, widths, strict=True)))
    if not output.is_terminal:
        # Rich draws no wider than it takes its console to be, and leaves out the columns that have no room.
        output = Console(width=max(_PIPED_WIDTH, sum(widths) + between), emoji=False)
    output.print(drawn, soft_wrap=True)


def _print_lists(output: Console, names: Sequence[str], cells: Sequence[Sequence[str]]) -> None:
    beside = max(map(cell_len, names))
    for row in cells:
        for name, cell in zip(names, row, strict=True):
            if cell:
                output.print(Text(f"{name:<{beside}}  {cell.replace(chr(10), ' ')}"), soft_wrap=True)
        output.print()


def line(markup: str) -> None:
    """Prints one line for a person on standard output."""
    console().print(markup, highlight=False, soft_wrap=True)


def plain(value: object) -> str:
    """Text from outside, safe inside markup."""
    return escape(_cell(value))


def as_json(value: object) -> None:
    """Prints one JSON document on one line."""
    # JSON has escapes of its own for what the reader's encoding lacks, and for bytes in a path that are no text.
    text = json.dumps(jsonable(value), ensure_ascii=False, allow_nan=False)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(jsonable(value), allow_nan=False)
    print(text, flush=True)


def jsonable(value: object) -> Any:
    """Dataclasses become objects, with the name of what was chosen in them; times ISO 8601; numbers not finite null."""
    if is_dataclass(value) and not isinstance(value, type):
        known = {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
        return chosen(value) | known
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple | array.array):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # a loss that has diverged; JSON has no word for it
    return value


def chosen(value: object) -> dict[str, str]:
    """Which engine or split an option is: ``{"engine": "als"}``, ``{"kind": "random"}``; empty for anything else."""
    from mfserve._types.spec import ENGINES, SPLITS  # by then those who need it have imported it

    if engine := ENGINES.get(type(value)):
        return {"engine": engine}
    if split := SPLITS.get(type(value)):
        return {"kind": split}
    return {}


STDOUT = Path("-")
"""What people name in the place of a file, for standard output."""


def write_file(path: Path, data: bytes) -> Path:
    """Writes a file that somebody asked for, over what was there, or to standard output; gives its path back."""
    if path == STDOUT:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return path
    try:
        path.write_bytes(data)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}") from error
    return path


def when(time: datetime | None) -> str:
    """A time in the reader's zone, to the second."""
    return "" if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def size(count: int) -> str:
    """A number of bytes as people say it."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"


def _cell(value: object, *, narrow: bool = False) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, datetime):
        return when(value).replace(" ", "\n" if narrow else " ")
    return "".join(_visible(character) for character in str(value))


def _visible(character: str) -> str:
    # An id or a title from somebody's file must neither command the terminal nor break the line.
    if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}:
        return character.encode("unicode_escape").decode("ascii")
    return character
