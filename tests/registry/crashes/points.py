"""Where a publisher is killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from mfserve_registry import Registry
from mfserve_registry.store import FolderStore, folder

NAMED = ("staged", "artifacts put", "while putting", "put", "in the transaction", "committed")
AT_A_TIME = "at a time"
"""Whatever it is doing then."""


class Fuse:
    """Kills this process, without further ado, when it comes to the point for the ``nth`` time."""

    def __init__(self, point: str, nth: int = 1) -> None:
        self._point = point
        self._left = nth

    def reached(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)

    def lay(self, registry: Registry) -> None:
        """Through the steps of a publication: every step of the store, what it ends with, and the transaction."""
        self._after(registry.artifacts, "keep", "artifacts put")
        self._after(registry.snapshots, "commit", "put")
        if isinstance(registry._store, FolderStore):
            self._after(folder, "sync_folder", "while putting")
        else:
            self._after(registry._store, "_put_file", "while putting")

        def executed(_1: object, _2: object, statement: str, *_: object) -> None:
            if statement.startswith("INSERT INTO versions"):
                self.reached("in the transaction")

        event.listen(registry._database.engine, "after_cursor_execute", executed)

    def _after(self, owner: Any, name: str, point: str) -> None:
        do: Callable[..., Any] = getattr(owner, name)

        def done(*arguments: Any, **options: Any) -> Any:
            result = do(*arguments, **options)
            self.reached(point)
            return result

        setattr(owner, name, done)
