"""New callers: a token, and what the file of callers says of who shows it."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from mfserve_server.security.access import Caller, read_access

_BYTES = 32
"""Of a token: nobody can try them all, so that its hash may be a fast one."""


class NameTaken(Exception):
    """The file has a caller of that name."""


def new_token() -> tuple[str, str]:
    """A token, and its hash as the file of callers has it."""
    token = secrets.token_urlsafe(_BYTES)
    return token, hashlib.sha256(token.encode()).hexdigest()


def entry(caller: Caller) -> str:
    """The lines that make somebody a caller of a server."""
    fields = caller.model_dump(exclude_none=True)
    return "".join(["[[callers]]\n", *(f"{name} = {_toml(value)}\n" for name, value in fields.items())])


def append(path: Path, caller: Caller) -> None:
    """Adds a caller to a file, which is made if it is not there, readable by its owner alone.

    Servers that read it meanwhile find it as it was, or whole. Who may read it stays as it was.

    Raises:
        BadAccessFile: what is there is no file of callers.
        NameTaken: it has one of this name.
        OSError: it cannot be written.
    """
    path = path.resolve()  # what a link leads to is replaced, not the link
    with _alone_in(path.parent):
        before = ""
        if path.exists():
            if caller.name in read_access(path).names:
                raise NameTaken(f"{path} has a caller {caller.name} already.")
            before = path.read_text().rstrip("\n")
        _replace(path, f"{before}\n\n{entry(caller)}" if before else entry(caller))


def _replace(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    new = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:
            if path.exists():
                found = path.stat()
                os.fchown(descriptor, found.st_uid, found.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(found.st_mode))
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        read_access(new)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Two who add callers at the same time do so one after the other, lest one of the two be lost."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _toml(value: object) -> str:
    if isinstance(value, frozenset):
        return f"[{', '.join(map(_toml, sorted(value)))}]"
    if isinstance(value, datetime):
        return value.isoformat()
    # JSON's numbers are TOML's, and so are its strings but for one character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
