"""Hands requests from the caller's thread to the thread in which grpc sends them.

grpc would iterate a caller's own iterator in its thread, where an exception is logged and lost and a database cursor
may not be used.
"""

from __future__ import annotations

from collections import deque
from threading import Condition
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Feed(Generic[Item]):
    """An iterator that another thread fills, of which at most ``room`` items wait."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._waiting: deque[Item] = deque()
        self._closed = False
        self._changed = Condition()

    def put(self, item: Item) -> bool:
        """Waits for room; False where nobody will take the item any more."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._waiting) < self._room)
            if self._closed:
                return False
            self._waiting.append(item)
            self._changed.notify_all()
            return True

    def close(self) -> None:
        """Ends the iteration after what waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Feed[Item]:
        return self

    def __next__(self) -> Item:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or len(self._waiting) > 0)
            if not self._waiting:
                raise StopIteration
            item = self._waiting.popleft()
            self._changed.notify_all()
            return item
