"""Files that hang on a version: reports, pictures, a model's summary."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, insert, select

from mfserve_registry.database import Database
from mfserve_registry.errors import DamagedSnapshot, InvalidArgument, NotFound
from mfserve_registry.lookup import require_version
from mfserve_registry.names import check_artifact
from mfserve_registry.store import Store, keep
from mfserve_registry.store.durable import write_durably
from mfserve_registry.tables import artifacts


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file to keep with a version.

    Attributes:
        name: unique within the version, such as ``rating-training-curve.csv``.
        media_type: such as ``image/svg+xml``.
        data: its bytes.
    """

    name: str
    media_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class ArtifactInfo:
    """A file that is kept with a version.

    Attributes:
        name: unique within the version.
        media_type: such as ``image/svg+xml``.
        size_bytes: its length.
        sha256: of its bytes, 64 hex digits.
    """

    name: str
    media_type: str
    size_bytes: int
    sha256: str


class Artifacts:
    """Reads the files of versions; they are kept once per content, under their SHA-256."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store

    def list(self, model: str, version: int) -> Sequence[ArtifactInfo]:
        """The files of a version, by name. NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND."""
        with self._database.read() as connection:
            require_version(connection, model, version)
            return artifacts_of(connection, model, [version]).get(version, [])

    def read(self, model: str, version: int, name: str) -> tuple[ArtifactInfo, bytes]:
        """A file and what is known of it: raises what ``find`` and ``load`` do."""
        info = self.find(model, version, name)
        return info, self.load(model, version, info)

    def find(self, model: str, version: int, name: str) -> ArtifactInfo:
        """What is known of a file. NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND or ARTIFACT_NOT_FOUND."""
        for info in self.list(model, version):
            if info.name == name:
                return info
        raise NotFound(
            f"Version {version} of model {model} has no artifact of that name.",
            reason="ARTIFACT_NOT_FOUND",
            field="name",
            metadata={"model": model, "version": str(version), "name": name},
        )

    def load(self, model: str, version: int, info: ArtifactInfo) -> bytes:
        """A file that was found, without asking the database.

        Raises:
            DamagedSnapshot: ARTIFACT_DAMAGED where the bytes are gone or are not what was stored.
            Unavailable: the store does not answer.
        """
        data = self._bytes(info.sha256)
        if data is None:
            raise DamagedSnapshot(
                f"The artifact {info.name} of version {version} of model {model} is damaged in the store.",
                reason="ARTIFACT_DAMAGED",
                metadata={"model": model, "version": str(version), "name": info.name},
            )
        return data

    def keep(self, files: Sequence[Artifact]) -> Sequence[ArtifactInfo]:
        """Makes the files durable, under a lock on their names, before any version names them.

        Raises:
            InvalidArgument: a name or media type that cannot be kept, or a name twice.
        """
        if len({file.name for file in files}) < len(files):
            raise InvalidArgument("Two artifacts have the same name.", field="artifact.name")
        for file in files:
            check_artifact(file.name, file.media_type)
        return [
            ArtifactInfo(file.name, file.media_type, len(file.data), self._keep_bytes(file.data))
            for file in files
        ]

    def are_kept(self, files: Sequence[ArtifactInfo]) -> bool:
        """Whether the store has all of them (their bytes are not checked)."""
        return all(self._store.contains(artifact_name(file.sha256)) for file in files)

    def _bytes(self, sha256: str) -> bytes | None:
        """None where they are gone or damaged."""
        try:
            data = self._store.read(artifact_name(sha256))
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == sha256 else None

    def _keep_bytes(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        staged = self._store.stage()
        try:
            write_durably(staged, data)
            keep(self._store, staged, artifact_name(sha256), lambda: self._bytes(sha256) is not None)
        finally:
            self._store.discard(staged)
        return sha256


def names_of(files: Sequence[Artifact]) -> list[str]:
    """What the store calls them."""
    return [artifact_name(hashlib.sha256(file.data).hexdigest()) for file in files]


def artifact_name(sha256: str) -> str:
    """What the store calls a file with these bytes."""
    return f"artifacts/{sha256[:2]}/{sha256}"


def link_artifacts(connection: Connection, model: str, version: int, files: Sequence[ArtifactInfo]) -> None:
    """Hangs kept files on a version."""
    if files:
        connection.execute(
            insert(artifacts),
            [
                {
                    "model": model,
                    "version": version,
                    "name": file.name,
                    "media_type": file.media_type,
                    "size_bytes": file.size_bytes,
                    "sha256": file.sha256,
                }
                for file in files
            ],
        )


def artifacts_of(connection: Connection, model: str, numbers: Sequence[int]) -> dict[int, list[ArtifactInfo]]:
    """The files of several versions of one model, by name."""
    rows = connection.execute(
        select(artifacts)
        .where(artifacts.c.model == model, artifacts.c.version.in_(numbers))
        .order_by(artifacts.c.name)
    )
    found: dict[int, list[ArtifactInfo]] = {}
    for row in rows:
        found.setdefault(row.version, []).append(
            ArtifactInfo(row.name, row.media_type, row.size_bytes, row.sha256)
        )
    return found
