"""What ModelService asks of the registry's database and store. Blocks: for executors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mfserve.v1 import model_service_pb2 as pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve_registry import ArtifactInfo, Model, Page, Registry, Version
from mfserve_server.conversions.models import artifact_message, version_message
from mfserve_server.errors import under
from mfserve_server.manifests import Manifests
from mfserve_server.names import check_spec, which

PART_BYTES = 1 << 20
"""Size of a part of a file: well below the 4 MiB that a message may have."""


class StoredFile(NamedTuple):
    """A file that hangs on a version."""

    model: str
    version: int
    info: ArtifactInfo


class ModelDesk:
    """Reads and deletes models and versions. ``described`` and ``data`` ask the store, all others the database."""

    def __init__(self, registry: Registry, manifests: Manifests) -> None:
        self._registry = registry
        self._manifests = manifests

    def models(self, page_size: int, page_token: str) -> Page[Model]:
        return self._registry.models.list(page_size=page_size, page_token=page_token)

    def model(self, name: str) -> Model:
        return self._registry.models.get(name)

    def versions(self, model: str, page_size: int, page_token: str) -> Page[Version]:
        return self._registry.models.list_versions(model, page_size=page_size, page_token=page_token)

    def version(self, spec: ModelSpec) -> Version:
        with under("model_spec"):
            return self._registry.models.get_version(spec.model, self._number(spec))

    def described(self, version: Version) -> pb.ModelVersion:
        """With what its manifest says."""
        return version_message(version, self._manifests.of(version.digest))

    def artifact(self, spec: ModelSpec, name: str) -> StoredFile:
        with under("model_spec"):
            number = self._number(spec)
        return StoredFile(spec.model, number, self._registry.artifacts.find(spec.model, number, name))

    def data(self, file: StoredFile) -> bytes:
        return self._registry.artifacts.load(*file)

    def delete_version(self, model: str, version: int) -> None:
        self._registry.models.delete_version(model, version)

    def delete(self, model: str) -> None:
        self._registry.models.delete(model)

    def _number(self, spec: ModelSpec) -> int:
        check_spec(spec)
        return self._registry.models.resolve(spec.model, **which(spec)).version


def artifact_parts(info: ArtifactInfo, data: bytes) -> Iterator[pb.GetArtifactResponse]:
    """The file in parts; the first, which an empty file has too, says what it is."""
    yield pb.GetArtifactResponse(artifact=artifact_message(info), data=data[:PART_BYTES])
    for start in range(PART_BYTES, len(data), PART_BYTES):
        yield pb.GetArtifactResponse(data=data[start : start + PART_BYTES])
