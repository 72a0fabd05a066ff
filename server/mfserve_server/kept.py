"""Replies that are kept, by the request's bytes.

An answer is a pure function of the version and the request. So while a name leads to the same version, the bytes of a
request have the bytes of a reply, which can be looked up before anything is decoded.
"""

from __future__ import annotations

from collections import OrderedDict

OVERHEAD = 400
"""Bytes of an entry beside its request and reply: their headers, the key, and the table. A test measures it."""
LARGEST = 1 << 16
"""Largest entry: one of a thousand excluded ids is hardly asked for again, and would push out hundreds of others."""

Key = tuple[str, bytes]
"""Method and request: two methods' requests may have the same bytes."""


class KeptReplies:
    """The replies used last, in bounded memory. Lives on the event loop.

    All are dropped at once when any alias moves: that is rare, and to tell which of them another version would answer
    now costs more than to make them again.

    Args:
        max_bytes: most that the entries take, all told; 0 keeps nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._largest = min(LARGEST, max_bytes)
        self._bytes = 0
        self._replies: OrderedDict[Key, bytes] = OrderedDict()
        self.generation = 0
        """Goes up whenever all are dropped. Who begins to make a reply notes it, and hands it in with the reply."""

    def __len__(self) -> int:
        return len(self._replies)

    def get(self, key: Key) -> bytes | None:
        reply = self._replies.get(key)
        if reply is not None:
            self._replies.move_to_end(key)
        return reply

    def keep(self, key: Key, reply: bytes, generation: int) -> None:
        """Keeps the reply, unless an alias has moved since ``generation``, or it is too large."""
        size = _size(key, reply)
        if generation != self.generation or size > self._largest or key in self._replies:
            return
        self._replies[key] = reply
        self._bytes += size
        while self._bytes > self._max_bytes:
            self._bytes -= _size(*self._replies.popitem(last=False))

    def drop(self) -> None:
        """Forgets all, also those that are being made."""
        self._replies.clear()
        self._bytes = 0
        self.generation += 1


def _size(key: Key, reply: bytes) -> int:
    return len(key[1]) + len(reply) + OVERHEAD
