"""The metadata that tells a server who calls."""

from __future__ import annotations

import time
from pathlib import Path

from mfserve._client.credentials import Credentials, CredentialsError, token_in

Metadata = tuple[tuple[str, str], ...]

LOOK_SECONDS = 1.0
"""How long a token may be sent after its file has changed."""


class Caller:
    """Says with each call who makes it: by a token, by what a file of one holds at the time, or not at all.

    Raises:
        CredentialsError: there is no token in the file. Later on, one that cannot be used leaves the last in place: the
            server says whether that is still one.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._file = None if credentials.token_file is None else Path(credentials.token_file)
        self._metadata: Metadata = ()
        if credentials.token is not None:
            self._metadata = _bearing(credentials.token)
        elif self._file is not None:
            self._seen = _identity(self._file)
            self._metadata = _bearing(token_in(self._file))
            self._next_look = time.monotonic() + LOOK_SECONDS

    @property
    def has_token(self) -> bool:
        """Whether anything is sent."""
        return bool(self._metadata)

    def metadata(self) -> Metadata:
        """To go with a call."""
        if self._file is not None and time.monotonic() >= self._next_look:
            self._look(self._file)
        return self._metadata

    def _look(self, file: Path) -> None:
        self._next_look = time.monotonic() + LOOK_SECONDS
        seen, self._seen = self._seen, _identity(file)
        if self._seen == seen:
            return
        try:
            self._metadata = _bearing(token_in(file))
        except CredentialsError:
            self._seen = None  # half written, perhaps, or not there for a moment: looked at once more


def _bearing(token: str) -> Metadata:
    return (("authorization", f"Bearer {token}"),)


def _identity(file: Path) -> tuple[int, int, int] | None:
    """Of what the name leads to, so that a symlink that is moved is seen too."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
