"""What ModelService asks of the registry. Blocks: for an executor."""

from __future__ import annotations

from collections.abc import Iterator

from mfserve.v1 import model_service_pb2 as pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve_registry import ArtifactInfo, Model, Page, Registry
from mfserve_server.conversions.models import artifact_message, version_message
from mfserve_server.errors import under
from mfserve_server.manifests import Manifests
from mfserve_server.names import check_spec, which

PART_BYTES = 1 << 20
"""Size of a part of a file: well below the 4 MiB that a message may have."""


class ModelDesk:
    """Reads and deletes models and versions."""

    def __init__(self, registry: Registry, manifests: Manifests) -> None:
        self._registry = registry
        self._manifests = manifests

    def models(self, page_size: int, page_token: str) -> Page[Model]:
        return self._registry.models.list(page_size=page_size, page_token=page_token)

    def model(self, name: str) -> Model:
        return self._registry.models.get(name)

    def versions(self, model: str, page_size: int, page_token: str) -> tuple[list[pb.ModelVersion], str]:
        """A page of versions, and the token of the next."""
        page = self._registry.models.list_versions(model, page_size=page_size, page_token=page_token)
        messages = [version_message(version, self._manifests.of(version.digest)) for version in page.items]
        return messages, page.next_page_token

    def version(self, spec: ModelSpec) -> pb.ModelVersion:
        with under("model_spec"):
            return self.numbered(spec.model, self._number(spec))

    def numbered(self, model: str, version: int, field: str = "version") -> pb.ModelVersion:
        """The version of this number; ``field`` is the one that names it."""
        found = self._registry.models.get_version(model, version, field)
        return version_message(found, self._manifests.of(found.digest))

    def artifact(self, spec: ModelSpec, name: str) -> tuple[ArtifactInfo, bytes]:
        with under("model_spec"):
            number = self._number(spec)
        return self._registry.artifacts.read(spec.model, number, name)

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
