"""Export and import of versions."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from mfserve_registry.archive.arriving import Arriving
from mfserve_registry.archive.copying import Progress, adding_up
from mfserve_registry.archive.document import ARTIFACTS, FORMAT, SNAPSHOT, Document, Member
from mfserve_registry.archive.origin import FromArchive
from mfserve_registry.archive.reading import read_document, read_members
from mfserve_registry.archive.writing import replacing, write_archive
from mfserve_registry.artifacts import Artifacts
from mfserve_registry.errors import DamagedSnapshot
from mfserve_registry.models import Models, Version
from mfserve_registry.names import check_model
from mfserve_registry.publishing import Publication, Publisher
from mfserve_registry.snapshot.manifest import FILE_NAME
from mfserve_registry.snapshot.reader import Snapshot
from mfserve_registry.snapshot.store import SnapshotStore


class Archives:
    """Writes versions to files, and publishes what such files hold."""

    def __init__(
        self, models: Models, store: SnapshotStore, artifacts: Artifacts, publisher: Publisher
    ) -> None:
        self._models = models
        self._store = store
        self._artifacts = artifacts
        self._publisher = publisher

    def export(self, model: str, version: int, path: Path, progress: Progress | None) -> Version:
        """See ``Registry.export_version``."""
        found = self._models.get_version(model, version)
        with self._store.hold(found.digest) as held:
            folder = held.path
            document = _document(found, folder)

            def opened(member: Member) -> BinaryIO:
                if member.folder == ARTIFACTS:
                    return BytesIO(self._artifacts.read(model, version, member.name)[1])
                try:
                    return (folder / member.name).open("rb")
                except OSError as error:
                    raise DamagedSnapshot(f"{member.name} cannot be read ({error.strerror}).") from error

            with replacing(path) as file:
                write_archive(file, document, opened, adding_up(progress, document.size))
        return found

    def import_(self, path: Path, model: str | None, progress: Progress | None) -> Publication:
        """See ``Registry.import_version``."""
        with path.open("rb") as file:
            document = read_document(file)
            origin = FromArchive(check_model(document.model if model is None else model), document)
            staged = self._store.stage()
            try:
                arriving = Arriving(staged)
                read_members(file, document, arriving.opened, adding_up(progress, document.size))
                arriving.check(document)
                return self._publisher.publish(
                    origin, staged, document.digest, arriving.artifacts, document.metrics, document.facts
                )
            finally:
                self._store.discard(staged)


def _document(version: Version, folder: Path) -> Document:
    """What the archive of the version says; ``folder`` has its snapshot."""
    manifest = Snapshot.open(folder, version.digest, verify=False).manifest
    files = [(FILE_NAME, (folder / FILE_NAME).stat().st_size, version.digest)]
    files += [(entry.file, entry.bytes, entry.sha256) for _, entry in sorted(manifest.arrays.items())]
    snapshot = (Member(path=f"{SNAPSHOT}/{name}", bytes=size, sha256=sha) for name, size, sha in files)
    artifacts = (
        Member(
            path=f"{ARTIFACTS}/{file.name}",
            bytes=file.size_bytes,
            sha256=file.sha256,
            media_type=file.media_type,
        )
        for file in version.artifacts
    )
    return Document(
        format=FORMAT,
        model=version.model,
        version=version.version,
        digest=version.digest,
        created_at=version.created_at,
        metrics=dict(version.metrics),
        facts=dict(version.facts),
        gates=version.gates,
        members=(*snapshot, *artifacts),
    )
