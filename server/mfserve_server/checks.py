"""The limits that the API's comments promise, in one place. Each raises InvalidArgument naming the field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized

from google.protobuf.message import Message

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.pages import DEFAULT_PAGE_SIZE
from mfserve_registry.snapshot.ids import MAX_ID_BYTES
from mfserve_scoring import MAX_LIMIT

DEFAULT_LIMIT = 10
MAX_HISTORY = 10_000
MAX_EXCLUDED = 10_000
MAX_PAIRS = 10_000
MAX_USERS = 4096
MAX_BATCH_ITEMS = 200_000
MAX_UPLOAD_BATCH = 100_000
_SURELY_SHORT = MAX_ID_BYTES // 4
"""Characters that are at most 256 bytes: the usual id is not encoded to be counted."""


def check_id(value: str, field: str) -> str:
    """``value``, if it is 1 to 256 bytes of UTF-8."""
    if value and (len(value) <= _SURELY_SHORT or len(value.encode()) <= MAX_ID_BYTES):
        return value
    raise InvalidArgument(f"An id has 1 to {MAX_ID_BYTES} bytes.", field=field)


def check_ids(values: Iterable[str], field: str) -> list[str]:
    ids = list(values)
    if all(ids) and max(map(len, ids), default=0) <= _SURELY_SHORT:  # nearly always, and many times quicker
        return ids
    return [check_id(value, f"{field}[{position}]") for position, value in enumerate(ids)]


def check_excluded(values: Sequence[str], field: str) -> list[str]:
    if not values:  # as nearly always
        return []
    check_count(values, field, least=0, most=MAX_EXCLUDED)
    return check_ids(values, field)


def check_count(values: Sized, field: str, *, least: int = 1, most: int) -> None:
    if not least <= len(values) <= most:
        raise InvalidArgument(f"{least:,} to {most:,} entries are allowed, not {len(values):,}.", field=field)


def limit_of(message: Message, field: str = "limit") -> int:
    """The message's ``limit``, 1 to 1000, or 10 where it is absent."""
    if not message.HasField("limit"):
        return DEFAULT_LIMIT
    limit: int = message.limit  # type: ignore[attr-defined] # every message that comes here has the field
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidArgument(f"A limit is 1 to {MAX_LIMIT}, not {limit}.", field=field)
    return limit


def page_size_of(page_size: int) -> int:
    """0 stands for the default; the registry checks the rest."""
    return page_size or DEFAULT_PAGE_SIZE


def required(value: str, field: str) -> str:
    if not value:
        raise InvalidArgument("A value is required.", field=field)
    return value
