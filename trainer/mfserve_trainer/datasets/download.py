"""Fetches public files into the user's cache folder; nothing is used before its checksum is right."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mfserve_registry.errors import FailedPrecondition
from mfserve_registry.store.durable import sync_folder

Progress = Callable[[str, int, int], None]
"""Called with a sentence about what happens, bytes done and bytes in all (0 and 0 where there is no number)."""

_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that never changes.

    Attributes:
        name: its name in the cache folder.
        url: where it comes from; for people, where it is got in another way.
        size: bytes.
        sha256: hex.
    """

    name: str
    url: str
    size: int
    sha256: str


class Unavailable(FailedPrecondition):
    """A public file that could not be had: no network, a server that fails, or other bytes than expected."""

    default_reason = "DATASET_UNAVAILABLE"


def cache_folder() -> Path:
    """Where fetched files are kept: MFSERVE_CACHE_DIR, else the user's cache folder for mfserve."""
    import platformdirs

    chosen = os.environ.get("MFSERVE_CACHE_DIR")
    return Path(chosen) if chosen else Path(platformdirs.user_cache_dir("mfserve"))


def no_progress(message: str, done: int, total: int) -> None:
    """Says nothing."""


def is_valid(path: Path, file: RemoteFile) -> bool:
    """Whether a file of this size and checksum is there."""
    try:
        if path.stat().st_size != file.size:
            return False
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
    except OSError:
        return False


def download(
    file: RemoteFile,
    folder: Path,
    *,
    progress: Progress = no_progress,
    timeout: float = 30.0,
) -> Path:
    """The file in the cache folder, downloaded unless a valid copy is there.

    Two processes that ask at once download once; one that is killed leaves nothing that another would take for
    the file.

    Args:
        file: what to fetch.
        folder: the cache folder; made where it is missing.
        progress: told about once per MiB.
        timeout: seconds to wait for the connection, and for each further piece.

    Raises:
        Unavailable: one sentence about what went wrong.
    """
    return obtain(file, folder, lambda: _get(file, progress, timeout), progress=progress)


def obtain(
    file: RemoteFile, folder: Path, blocks: Callable[[], Generator[bytes]], *, progress: Progress
) -> Path:
    """The file in the cache folder, made of ``blocks()`` unless a valid copy is there.

    Raises:
        Unavailable: the blocks are not the file, the cache folder cannot be written, or what ``blocks`` raises.
    """
    path = folder / file.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _only_one(folder / f".{file.name}.lock", progress):
            if is_valid(path, file):
                return path
            if path.exists():
                progress(f"{file.name} in the cache is damaged or another file; fetching it again", 0, 0)
            with closing(blocks()) as content:
                _store(file, path, content)
    except OSError as error:
        raise Unavailable(
            f"the cache folder {folder} cannot be written: {error.strerror or error}. "
            "Set MFSERVE_CACHE_DIR to a folder that can."
        ) from error
    return path


def _store(file: RemoteFile, path: Path, blocks: Iterator[bytes]) -> None:
    # The lock is held, so a part that lies here is a killed process's.
    for stale in path.parent.glob(f".{file.name}.*.part"):
        stale.unlink()
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{file.name}.", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            _copy(file, blocks, stream)
            stream.flush()
            # A cache may be shared between accounts; temporary files begin private.
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink()
        raise
    sync_folder(path.parent)


def _copy(file: RemoteFile, blocks: Iterator[bytes], stream: BinaryIO) -> None:
    digest = hashlib.sha256()
    size = 0
    for block in blocks:
        size += len(block)
        if size > file.size:
            raise Unavailable(f"{file.url} gave more than the {file.size:,} bytes of {file.name}")
        digest.update(block)
        stream.write(block)
    if size < file.size:
        raise Unavailable(f"{file.url} gave only {size:,} of the {file.size:,} bytes of {file.name}")
    if digest.hexdigest() != file.sha256:
        raise Unavailable(f"{file.url} gave a file with the SHA-256 {digest.hexdigest()}, not {file.name}'s")


def _get(file: RemoteFile, progress: Progress, timeout: float) -> Generator[bytes]:
    done = 0
    message = f"downloading {file.url}"
    progress(message, done, file.size)
    try:
        with urllib.request.urlopen(file.url, timeout=timeout) as answer:  # noqa: S310 - no caller's URL
            while block := answer.read(_BLOCK_BYTES):
                yield block
                done += len(block)
                progress(message, done, file.size)
    except urllib.error.HTTPError as error:
        with error:  # it holds the connection
            raise Unavailable(f"{file.url} answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:  # also urllib's URLError and time-outs
        why = getattr(error, "reason", None) or error
        raise Unavailable(f"{file.url} could not be downloaded: {why}") from error


@contextmanager
def _only_one(lock: Path, progress: Progress) -> Iterator[None]:
    """Holds a lock that the system gives back even when the process is killed."""
    with lock.open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("another process is fetching the same file; waiting for it", 0, 0)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
