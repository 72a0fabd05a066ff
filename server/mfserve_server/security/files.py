"""Files that are read again when they change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_Seen = tuple[tuple[int, int, int] | None, ...]


class FileWatch:
    """Tells when one of some files has changed. Files are compared by what they are, not by their names.

    So a symlink that is moved, which is how Kubernetes replaces mounted secrets, is seen too.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._seen: _Seen | None = None

    def changed(self) -> bool:
        """Whether any is another file than at the last call; at the first call they are."""
        now = tuple(_identity(path) for path in self._paths)
        before, self._seen = self._seen, now
        return now != before


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
