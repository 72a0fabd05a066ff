"""What an archive brings, while it is being read: nothing that anybody else sees."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from mfserve_registry.archive.document import ARTIFACTS, NAME, SNAPSHOT, Document, Member
from mfserve_registry.artifacts import Artifact
from mfserve_registry.errors import DamagedArchive
from mfserve_registry.snapshot.manifest import FILE_NAME
from mfserve_registry.snapshot.reader import Snapshot


class Arriving:
    """The files of the snapshot in a staged folder, flushed to disk, and the artifacts in memory."""

    def __init__(self, staged: Path) -> None:
        self._staged = staged
        self.artifacts: list[Artifact] = []

    @contextmanager
    def opened(self, member: Member) -> Iterator[BinaryIO]:
        """Where the bytes of a member go; it counts only when they all came."""
        if member.folder == ARTIFACTS:
            with BytesIO() as data:
                yield data
                self.artifacts.append(Artifact(member.name, member.media_type or "", data.getvalue()))
            return
        with (self._staged / member.name).open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())

    def check(self, document: Document) -> None:
        """Refuses a snapshot with other files than its manifest lists: what is in its folder is kept.

        Raises:
            DamagedSnapshot: the manifest is not one.
            DamagedArchive: there are too many files, or too few.
        """
        listed = {member.name for member in document.members if member.folder == SNAPSHOT}
        manifest = Snapshot.open(self._staged, document.digest, verify=False).manifest
        if odd := listed ^ {FILE_NAME, *(entry.file for entry in manifest.arrays.values())}:
            raise DamagedArchive(
                f"{NAME} does not list the files of the snapshot; differing: {', '.join(sorted(odd))}."
            )
