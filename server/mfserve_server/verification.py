"""Each snapshot is verified once for all processes of a start, and all of them know how it ended.

The parent makes a folder for them. In it every digest has a file, whose lock (flock) the process that verifies holds:
others wait for it and then read the verdict, which the file holds. A process that dies frees its lock and leaves no
verdict, so that the next one verifies. One that is stopped, or stuck on its disk, is waited for no longer than
``PATIENCE_SECONDS``. A new start has a new folder: it believes nothing that an earlier one found.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import structlog

from mfserve_registry.errors import DamagedSnapshot
from mfserve_registry.filelocks import locked
from mfserve_registry.snapshot import Snapshot, SnapshotStore
from mfserve_registry.store import Held, hold_sound

PATIENCE_SECONDS = 60.0
"""So long another's verdict is waited for: what it could read and hash meanwhile is 50 GB from memory."""
REFUSAL_SECONDS = 10.0
"""A refusal counts so long, though the files be the same: an unreadable disk may have become readable."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What verifying a snapshot has found.

    Attributes:
        files: which files were read, as ``_identify`` tells them.
        at: when, in seconds of the monotonic clock, which all processes of a machine share.
        reason, message: of the refusal; None where the snapshot is whole.
    """

    files: str
    at: float
    reason: str | None = None
    message: str | None = None

    def holds(self, files: str) -> bool:
        """Whether it still tells of these files."""
        fresh = self.message is None or time.monotonic() < self.at + REFUSAL_SECONDS
        return self.files == files and fresh

    def enforce(self) -> None:
        """DamagedSnapshot where it is a refusal."""
        if self.message is not None:
            raise DamagedSnapshot(self.message, reason=self.reason)


class Verification:
    """Verifies snapshots, once among all processes with the same folder.

    Args:
        folder: made for this start, on this machine, writable for these processes only.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hold(self, store: SnapshotStore, digest: str) -> Held:
        """The folder of a snapshot that is whole; a damaged local copy of one is made anew.

        Raises:
            DamagedSnapshot: as from ``require``.
            Unavailable: there is no copy here that is whole, and the store does not answer.
        """
        return hold_sound(
            lambda: store.hold(digest),
            lambda directory: self.require(directory, digest),
            lambda: store.mend(digest),
        )

    def require(self, directory: Path, digest: str) -> None:
        """Returns when the snapshot in ``directory`` is known to be whole, by whomever it was verified.

        Raises:
            DamagedSnapshot: as from ``Snapshot.open``; also where that was another process's finding.
        """
        try:
            verdict = self._shared(directory, digest)
        except OSError as error:  # none in time, a full disk, or somebody has tidied up the temporary files
            _log.warning("verifies for itself", digest=digest, message=str(error))
            verdict = _verify(directory, digest)
        verdict.enforce()

    def _shared(self, directory: Path, digest: str) -> Verdict:
        with locked(self._folder / digest, PATIENCE_SECONDS) as file:
            verdict = _read(file)
            if verdict is None or not verdict.holds(_identify(directory)):
                verdict = _verify(directory, digest)
                _write(file, verdict)
            return verdict


def _read(file: BinaryIO) -> Verdict | None:
    """None where there is none, or its writer died over it."""
    try:
        return Verdict(**json.loads(file.read()))
    except (ValueError, TypeError):
        return None


def _write(file: BinaryIO, verdict: Verdict) -> None:
    file.seek(0)
    file.truncate()
    file.write(json.dumps(asdict(verdict)).encode())
    file.flush()


def _verify(directory: Path, digest: str) -> Verdict:
    files, began = _identify(directory), time.monotonic()
    try:
        Snapshot.open(directory, digest)
    except DamagedSnapshot as error:
        return Verdict(files, time.monotonic(), error.reason, error.message)
    _log.info("verified", digest=digest, seconds=round(time.monotonic() - began, 3))
    return Verdict(files, time.monotonic())


def _identify(directory: Path) -> str:
    """Tells the files of a folder from any that are put into their place. No such folder: ""."""
    try:
        entries = sorted((entry.name, entry.stat()) for entry in os.scandir(directory))
    except OSError:
        return ""
    return " ".join(
        f"{name}:{stat.st_ino}:{stat.st_size}:{stat.st_mtime_ns}:{stat.st_ctime_ns}" for name, stat in entries
    )
