"""Lets large things go where nobody waits: unmapping gigabytes takes milliseconds, also on the event loop."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Thread
from weakref import finalize

from mfserve_server.threads import lower_priority


class Releaser:
    """A thread that drops last references. The interpreter lock is free while memory is unmapped."""

    def __init__(self) -> None:
        # A SimpleQueue, because it may be put to from within a finalizer, whatever the thread is just doing.
        self._queue: SimpleQueue[tuple[object, ...] | None] = SimpleQueue()
        self._thread = Thread(target=self._run, name="releasing", daemon=True)
        self._thread.start()

    def keep_until_gone(self, owner: object, *parts: object) -> None:
        """Keeps ``parts``, which must not refer to ``owner``, until it is gone, and drops them then."""
        finalize(owner, self._queue.put, parts).atexit = False

    def close(self) -> None:
        """Ends the thread when it has dropped what is waiting."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        lower_priority()
        while self._queue.get() is not None:
            pass
