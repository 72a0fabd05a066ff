"""The asynchronous client's methods about models and their versions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Literal

from mfserve._client import comparisons, model_service
from mfserve._client.aio_transport import AsyncTransport
from mfserve._client.job import documented_as
from mfserve._client.sync_models import ModelMethods
from mfserve._types.comparisons import VersionComparison
from mfserve._types.enums import EmbeddingSide, Head
from mfserve._types.models import Embeddings, Model, ModelVersion, ServingStatus, StoredArtifact


class AsyncModelMethods:
    """A part of AsyncClient."""

    _transport: AsyncTransport

    @documented_as(ModelMethods.list_models)
    def list_models(self, *, page_size: int = 0, timeout: float | None = None) -> AsyncIterator[Model]:
        return self._transport.paged(model_service.list_models(page_size), timeout)

    @documented_as(ModelMethods.get_model)
    async def get_model(self, model: str, *, timeout: float | None = None) -> Model:
        return await self._transport.unary(model_service.get_model(model), timeout)

    @documented_as(ModelMethods.list_versions)
    def list_versions(
        self, model: str, *, page_size: int = 0, timeout: float | None = None
    ) -> AsyncIterator[ModelVersion]:
        return self._transport.paged(model_service.list_versions(model, page_size), timeout)

    @documented_as(ModelMethods.get_version)
    async def get_version(
        self,
        model: str,
        version: int | None = None,
        *,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> ModelVersion:
        return await self._transport.unary(model_service.get_version(model, version, alias), timeout)

    @documented_as(ModelMethods.compare_versions)
    async def compare_versions(
        self,
        model: str,
        version: int,
        other_version: int,
        *,
        sample_size: int | None = None,
        timeout: float | None = None,
    ) -> VersionComparison:
        call = comparisons.compare_versions(model, version, other_version, sample_size)
        return await self._transport.unary(call, timeout)

    @documented_as(ModelMethods.get_artifact)
    async def get_artifact(
        self,
        model: str,
        name: str,
        *,
        version: int | None = None,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> StoredArtifact:
        return await self._transport.download(
            model_service.get_artifact(model, name, version, alias), timeout
        )

    @documented_as(ModelMethods.get_embeddings)
    async def get_embeddings(
        self,
        model: str,
        side: EmbeddingSide | Literal["user", "item"],
        *,
        head: Head | Literal["ranking", "rating"] | None = None,
        version: int | None = None,
        alias: str | None = None,
        timeout: float | None = None,
    ) -> Embeddings:
        return await self._transport.download(
            model_service.get_embeddings(model, side, head, version, alias), timeout
        )

    @documented_as(ModelMethods.delete_version)
    async def delete_version(self, model: str, version: int, *, timeout: float | None = None) -> None:
        await self._transport.unary(model_service.delete_version(model, version), timeout)

    @documented_as(ModelMethods.delete_model)
    async def delete_model(self, model: str, *, timeout: float | None = None) -> None:
        await self._transport.unary(model_service.delete_model(model), timeout)

    @documented_as(ModelMethods.serving_status)
    async def serving_status(self, *, timeout: float | None = None) -> ServingStatus:
        return await self._transport.unary(model_service.serving_status(), timeout)
