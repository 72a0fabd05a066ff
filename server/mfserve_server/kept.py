"""Replies that are kept, by the request's bytes.

An answer is a pure function of the version and the request. So while a name leads to the same version, the bytes of a
request have the bytes of a reply, which can be looked up before anything is decoded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from itertools import count

from mfserve_server.metrics.layout import KEPT_REPLIES
from mfserve_server.metrics.page import Page

OVERHEAD = 400
"""Bytes of an entry beside its request and reply: their headers, the key, and the table. A test measures it."""
LARGEST = 1 << 16
"""Largest entry: one of a thousand excluded ids is hardly asked for again, and would push out hundreds of others."""

Key = tuple[str, bytes]
"""Method and request: two methods' requests may have the same bytes."""


class KeptReplies:
    """The replies used last, in bounded memory. Lives on the event loop.

    Every snapshot has a period, which ends when an alias leaves one of its versions. A reply counts in the period in
    which it was begun: no name that led to the snapshot then leads elsewhere yet. One whose period is over is only
    looked at again when it is asked for, or the oldest: ending a period takes no longer where there are many.

    Args:
        max_bytes: most that the entries take, all told; 0 keeps nothing.
        page: where is counted what was found.
    """

    def __init__(self, max_bytes: int, page: Page | None = None) -> None:
        page = page or Page()
        self._hits = page.counter(KEPT_REPLIES, "hit")
        self._misses = page.counter(KEPT_REPLIES, "miss")
        self._max_bytes = max_bytes
        self._largest = min(LARGEST, max_bytes)
        self._bytes = 0
        self._replies: OrderedDict[Key, tuple[bytes, int]] = OrderedDict()
        self._numbers = count()
        self._by_digest: dict[str, int] = {}
        self._current: set[int] = set()

    def __len__(self) -> int:
        return len(self._replies)

    def period(self, digest: str) -> int:
        """The snapshot's period now. Who begins to make a reply notes it, and hands it in with the reply."""
        period = self._by_digest.get(digest)
        if period is None:
            period = self._by_digest[digest] = next(self._numbers)
            self._current.add(period)
        return period

    def end_periods(self, digests: Iterable[str]) -> None:
        """Forgets the replies from these snapshots, also those that are being made."""
        for digest in digests:
            self._current.discard(self._by_digest.pop(digest, -1))

    def get(self, key: Key) -> bytes | None:
        kept = self._replies.get(key)
        if kept is None:
            self._misses.add()
            return None
        reply, period = kept
        if period in self._current:
            self._replies.move_to_end(key)
            self._hits.add()
            return reply
        self._misses.add()
        del self._replies[key]
        self._bytes -= _size(key, reply)
        return None

    def keep(self, key: Key, reply: bytes, period: int) -> None:
        """Keeps the reply, unless its period is over, or it is too large."""
        size = _size(key, reply)
        if period not in self._current or size > self._largest or key in self._replies:
            return
        self._replies[key] = (reply, period)
        self._bytes += size
        while self._bytes > self._max_bytes:
            oldest, (dropped, _) = self._replies.popitem(last=False)
            self._bytes -= _size(oldest, dropped)


def _size(key: Key, reply: bytes) -> int:
    return len(key[1]) + len(reply) + OVERHEAD
