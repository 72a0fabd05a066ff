"""Makes a table fit a narrow terminal without breaking a word."""

from __future__ import annotations

import re
from collections.abc import Sequence

from rich.cells import cell_len


def fitted(columns: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Widths of columns for which there is room and which break no word; None where there are none.

    The widest column is the first to give way.
    """
    texts = list(zip(*rows, strict=True))
    widths = [max(cell_len(line) for text in column for line in text.split("\n")) for column in texts]
    least = [
        width if name.endswith("!") else max(cell_len(part) for text in column for part in _parts(text))
        for name, width, column in zip(columns, widths, texts, strict=True)
    ]
    if sum(least) > room:
        return None
    while sum(widths) > room:
        _, widest = max((width, place) for place, width in enumerate(widths) if width > least[place])
        widths[widest] -= 1
    return widths


def _parts(text: str) -> list[str]:
    """What stays together: words, and the parts of compound ones; not the whole of a long id."""
    return re.findall(r"\n|[^\s+/@:_-]{0,16}[+/@:_-]|[^\s+/@:_-]{1,16}|[^\S\n]+", text) or [""]


def wrapped(text: str, width: int) -> str:
    """The text in lines of at most this width, as far as what stays together allows."""
    lines = [""]
    for part in _parts(text):
        if part == "\n":
            lines.append("")
        elif cell_len(lines[-1] + part.rstrip()) <= width:
            lines[-1] += part
        else:
            lines.append(part.lstrip())
    return "\n".join(line.rstrip() for line in lines)
