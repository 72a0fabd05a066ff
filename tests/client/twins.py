"""Lets one test speak to both clients: the sync one is awaited too, each of its calls in a thread."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

from mfserve import TrainingJob
from mfserve._client.sync_stream import RecommendationStream

_END = object()


class Awaited:
    """A sync client, handle or stream, with awaitable methods and asynchronous iterators."""

    def __init__(self, wrapped: Any) -> None:
        self._wrapped = wrapped

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._wrapped, name)
        if not inspect.ismethod(value):
            return value
        if _gives_iterator(value):
            return lambda *args, **kwargs: _awaited(value(*args, **kwargs))

        async def call(*args: Any, **kwargs: Any) -> Any:
            return _awaited(await asyncio.to_thread(value, *args, **kwargs))

        return call

    async def __aiter__(self) -> AsyncIterator[Any]:
        iterator = iter(self._wrapped)
        while (item := await asyncio.to_thread(next, iterator, _END)) is not _END:
            yield _awaited(item)


def _gives_iterator(method: Any) -> bool:
    returned = str(inspect.signature(method).return_annotation)
    return "Iterator" in returned or "RecommendationStream" in returned


def _awaited(value: Any) -> Any:
    return Awaited(value) if isinstance(value, TrainingJob | RecommendationStream | Iterator) else value


async def listed(items: Any) -> list[Any]:
    """Everything that an asynchronous iterator gives."""
    return [item async for item in items]
