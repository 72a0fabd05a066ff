"""What people see (tables on standard output, notes on standard error) and what programs read (JSON)."""

from __future__ import annotations

import array
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text


class CommandError(Exception):
    """A command cannot do what was asked; the text is one line for the person who asked."""


# A pipe or a file gets lines as long as their tables need, not ones broken at an imagined terminal's width.
_PIPED_WIDTH = 200


def console() -> Console:
    """Standard output."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=_PIPED_WIDTH)


def say(markup: str) -> None:
    """Prints a note for a person on standard error."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(markup)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table. A column whose name ends in "#" is aligned to the right and loses the sign."""
    drawn = Table()
    for column in columns:
        drawn.add_column(column.removesuffix("#"), justify="right" if column.endswith("#") else "left")
    for row in rows:
        drawn.add_row(*(Text(_cell(value)) for value in row))
    # Not the table's own title, which would be broken to the table's width.
    console().print(Text(title, style="bold"), soft_wrap=True)
    console().print(drawn)


def line(markup: str) -> None:
    """Prints one line for a person on standard output."""
    console().print(markup, highlight=False, soft_wrap=True)


def plain(value: object) -> str:
    """Text from outside, safe inside markup."""
    return escape(_cell(value))


def as_json(value: object) -> None:
    """Prints one JSON document on one line."""
    print(json.dumps(jsonable(value), ensure_ascii=False, allow_nan=False), flush=True)


def jsonable(value: object) -> Any:
    """Dataclasses become objects, times ISO 8601, numbers that are not finite null."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: jsonable(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, list | tuple | array.array):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None  # a loss that has diverged; JSON has no word for it
    return value


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


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}"
    return str(value)
