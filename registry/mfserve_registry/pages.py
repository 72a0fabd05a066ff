"""Long lists in pages, by keyset: a page starts after the last key of the one before, whatever was added since."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mfserve_registry.canonical import canonical_json, json_sha256
from mfserve_registry.errors import InvalidArgument

T = TypeVar("T")

DEFAULT_PAGE_SIZE = 100
MAX_PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list.

    Attributes:
        items: at most ``page_size`` of them, in the list's order.
        next_page_token: asks for the next page; "" on the last one.
    """

    items: list[T]
    next_page_token: str

    @classmethod
    def of(cls, rows: Sequence[T], page_size: int, scope: Scope, key: Callable[[T], Key]) -> Page[T]:
        """A page out of up to ``page_size + 1`` rows: the one too many only says that there is more."""
        items = list(rows[:page_size])
        more = len(rows) > page_size
        return cls(items, encode_token(scope, key(items[-1])) if more else "")


Key = int | str
Scope = Sequence[Any]


def check_page_size(page_size: int) -> int:
    """``page_size``, if it is 1 to 1000."""
    if not 1 <= page_size <= MAX_PAGE_SIZE:
        raise InvalidArgument(f"A page has 1 to {MAX_PAGE_SIZE} entries.", field="page_size")
    return page_size


def encode_token(scope: Scope, key: Key) -> str:
    """A token for what comes after ``key`` in the list that ``scope`` (method and filters) describes."""
    text = canonical_json([key, _sum(scope, key)])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_token(scope: Scope, token: str, kind: type[int | str]) -> Any:
    """The key in ``token``, or None for the empty token.

    Raises:
        InvalidArgument: PAGE_TOKEN_INVALID where ``encode_token`` did not make it for this very list. The check sum
            finds mistakes; it is no secret, and a forged token reaches nothing that a page number would not.
    """
    if not token:
        return None
    try:
        key, checksum = json.loads(_decode(token))
        fits = type(key) is kind and (isinstance(key, str) or key.bit_length() < 64)
        valid = fits and checksum == _sum(scope, key) and encode_token(scope, key) == token
    except (binascii.Error, ValueError, TypeError):
        key, valid = None, False
    if not valid:
        raise InvalidArgument(
            "The page token is not one that this list gave out; ask for the first page again.",
            reason="PAGE_TOKEN_INVALID",
            field="page_token",
        )
    return key


def _decode(token: str) -> bytes:
    return base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)


def _sum(scope: Scope, key: Key) -> str:
    return json_sha256([list(scope), key])[:12]
