"""Ids of users out of whatever holds them, a batch at a time."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable
from itertools import islice
from typing import Any

from mfserve._client.arguments import iterator, texts


class UserIds:
    """Takes ids from any iterable, no sooner than they are wanted.

    Arrays (NumPy, pandas, polars, Arrow) are read slice by slice, because to iterate them is many times slower; of the
    lines of a text file their ends are left out.

    Raises:
        TypeError: on making, for what holds no ids; on taking, for a value that is not a string, with its position.
    """

    def __init__(self, source: Iterable[str]) -> None:
        each = iterator("user_ids", source)
        self._array = source if hasattr(source, "__len__") and _to_list(source) is not None else None
        self._rest = each if self._array is None else iter(())
        self._of_lines = _is_file(source)
        self._taken = 0

    def take(self, count: int) -> list[str]:
        """The next ``count`` ids; fewer at the end, and none after it."""
        ids = list(islice(self._rest, count)) if self._array is None else self._slice(self._array, count)
        return self._checked(ids)

    def _slice(self, array: Any, count: int) -> list[Any]:
        # A Series may be indexed by labels: iloc is by position.
        part = getattr(array, "iloc", array)[self._taken : self._taken + count]
        ids: list[Any] = getattr(part, str(_to_list(part)))()
        return ids

    def _checked(self, ids: list[Any]) -> list[str]:
        if self._of_lines:
            ids = [line.rstrip("\r\n") if isinstance(line, str) else line for line in ids]
        if not set(map(type, ids)) <= {str}:
            texts("user_ids", ids, self._taken)
        self._taken += len(ids)
        return ids


class AsyncUserIds(UserIds):
    """The same from an asynchronous iterable, or from any other."""

    def __init__(self, source: Iterable[str] | AsyncIterable[str]) -> None:
        self._asynchronous: AsyncIterator[str] | None = None
        if isinstance(source, AsyncIterable):
            self._asynchronous = aiter(source)
            super().__init__(())
        else:
            super().__init__(source)
        self._of_lines = _is_file(source)

    async def take_async(self, count: int) -> list[str]:
        """As ``take``."""
        if self._asynchronous is None:
            return self.take(count)
        ids: list[str] = []
        while len(ids) < count:
            try:
                ids.append(await anext(self._asynchronous))
            except StopAsyncIteration:
                break
        return self._checked(ids)


def _to_list(array: object) -> str | None:
    """The name of the method that makes a list of an array."""
    return next((name for name in ("tolist", "to_list", "to_pylist") if hasattr(array, name)), None)


def _is_file(source: object) -> bool:
    # Not every file is an io.TextIOBase: those of tempfile, codecs and asynchronous libraries are wrappers.
    return hasattr(source, "readline")
