"""Files that are read again when they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

Read = TypeVar("Read")

_Identity = tuple[int, int, int]


class BadFile(Exception):
    """A file that cannot be used; the message names it and is one line for a person. No secret is in it.

    Its cause is an OSError where the file could not be read, so that it may be right in itself.
    """

    @property
    def may_pass(self) -> bool:
        """Whether the very same file may be good later."""
        return isinstance(self.__cause__, OSError)


class LastGood(Generic[Read]):
    """What some files said when they could last be used.

    Files are compared by what they are, not by their names. So a symlink that is moved, which is how Kubernetes
    replaces mounted secrets, is seen too.

    Args:
        paths: the files.
        read: reads them; BadFile.

    Attributes:
        found: what they said.
        is_outdated: whether they say something else now, which cannot be used.

    Raises:
        BadFile: they cannot be used now.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], Read]) -> None:
        self._paths = paths
        self._read = read
        self._seen = self._identities()
        self._may_pass = False
        self._told: object = None
        self.is_outdated = False
        self.found = read()

    def look(self) -> bool:
        """Reads the files again if one is another than before, or may be good by now; whether there is news.

        Raises:
            BadFile: they cannot be used; what was found last stays. Said once.
        """
        now = self._identities()
        if now == self._seen and not self._may_pass:
            return False
        self._seen = now
        try:
            self.found = self._read()
        except BadFile as error:
            self.is_outdated = True
            self._may_pass = error.may_pass
            told, self._told = self._told, (now, str(error))
            if told == self._told:
                return False
            raise
        self._may_pass = self.is_outdated = False
        return True

    def _identities(self) -> Sequence[_Identity | None]:
        return [_identity(path) for path in self._paths]


def _identity(path: Path) -> _Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    # The time of the last change of anything, its owner and its mode too: no program can set it back.
    return found.st_ino, found.st_ctime_ns, found.st_size
