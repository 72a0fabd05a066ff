"""Lengths of time as people write them: ``30d``, ``12h``, ``90m``, ``45s``."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator

_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
}
_DURATION = re.compile(rf"(\d+)([{''.join(_UNITS)}])")

LONGEST = timedelta(days=36_500)
"""A century: before the year 1 there are no times from which to count."""


def duration(text: str) -> timedelta:
    """ValueError where it is none; the message says what one looks like."""
    match = _DURATION.fullmatch(text.strip())
    if match is None and text.strip() != "0":
        raise ValueError("it is a number with d, h, m or s behind it, such as 30d or 12h, or 0")
    if match is None:
        return timedelta()
    try:
        span = int(match[1]) * _UNITS[match[2]]
    except (ValueError, OverflowError):  # more than Python reads or counts
        span = timedelta.max
    if span > LONGEST:
        raise ValueError(f"it is too large: at most {as_text(LONGEST)}")
    return span


def _parsed(value: Any) -> Any:
    return value if isinstance(value, timedelta) else duration(str(value))


Duration = Annotated[timedelta, BeforeValidator(_parsed)]
"""A field of settings that is given in this form."""


def as_text(span: timedelta) -> str:
    """The shortest such text."""
    unit = next(unit for unit, length in _UNITS.items() if span % length == timedelta() or unit == "s")
    return f"{span // _UNITS[unit]}{unit}"
