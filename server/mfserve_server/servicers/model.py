"""ModelService."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from mfserve.v1 import model_service_pb2 as pb
from mfserve_registry.contact import Contact
from mfserve_server.aliasing import AliasDesk
from mfserve_server.catalog import Catalog
from mfserve_server.checks import page_size_of, required
from mfserve_server.comparing import Comparing
from mfserve_server.conversions.aliases import alias_message, event_message
from mfserve_server.conversions.models import contact_message, model_message, server_message
from mfserve_server.embeddings import EmbeddingStream
from mfserve_server.executors import Executors
from mfserve_server.modeling import ModelDesk, artifact_parts
from mfserve_server.names import loaded_version
from mfserve_server.reporting import Reporter


class ModelService:
    """Tells which models and versions exist and what is served, moves aliases, and deletes."""

    def __init__(
        self,
        catalog: Catalog,
        executors: Executors,
        desk: ModelDesk,
        aliases: AliasDesk,
        comparing: Comparing,
        reporter: Reporter,
        contact: Contact,
    ) -> None:
        self._catalog = catalog
        self._executors = executors
        self._desk = desk
        self._aliases = aliases
        self._comparing = comparing
        self._reporter = reporter
        self._contact = contact

    async def ListModels(self, request: pb.ListModelsRequest) -> pb.ListModelsResponse:
        page = await self._executors.registry(
            self._desk.models, page_size_of(request.page_size), request.page_token
        )
        return pb.ListModelsResponse(
            models=map(model_message, page.items), next_page_token=page.next_page_token
        )

    async def GetModel(self, request: pb.GetModelRequest) -> pb.GetModelResponse:
        return pb.GetModelResponse(
            model=model_message(await self._executors.registry(self._desk.model, request.model))
        )

    async def ListModelVersions(self, request: pb.ListModelVersionsRequest) -> pb.ListModelVersionsResponse:
        page = await self._executors.registry(
            self._desk.versions, request.model, page_size_of(request.page_size), request.page_token
        )
        versions = await self._executors.describing(self._desk.described, page.items)
        return pb.ListModelVersionsResponse(versions=versions, next_page_token=page.next_page_token)

    async def GetModelVersion(self, request: pb.GetModelVersionRequest) -> pb.GetModelVersionResponse:
        found = await self._executors.registry(self._desk.version, request.model_spec)
        (version,) = await self._executors.describing(self._desk.described, [found])
        return pb.GetModelVersionResponse(version=version)

    async def CompareModelVersions(
        self, request: pb.CompareModelVersionsRequest
    ) -> pb.CompareModelVersionsResponse:
        return await self._comparing.compare(request)

    async def GetArtifact(
        self, request: pb.GetArtifactRequest
    ) -> AsyncGenerator[pb.GetArtifactResponse, None]:
        name = required(request.name, "name")
        file = await self._executors.registry(self._desk.artifact, request.model_spec, name)
        data = await self._executors.storing(self._desk.data, file)
        for part in artifact_parts(file.info, data):
            yield part

    async def GetEmbeddings(
        self, request: pb.GetEmbeddingsRequest
    ) -> AsyncGenerator[pb.GetEmbeddingsResponse, None]:
        stream = EmbeddingStream.of(await loaded_version(self._catalog, request.model_spec), request)
        for start in stream.starts:
            yield await self._executors.scoring(stream.part, start)

    async def DeleteModelVersion(
        self, request: pb.DeleteModelVersionRequest
    ) -> pb.DeleteModelVersionResponse:
        await self._executors.registry(self._desk.delete_version, request.model, request.version)
        return pb.DeleteModelVersionResponse()

    async def DeleteModel(self, request: pb.DeleteModelRequest) -> pb.DeleteModelResponse:
        await self._executors.registry(self._desk.delete, request.model)
        return pb.DeleteModelResponse()

    async def SetAlias(self, request: pb.SetAliasRequest) -> pb.SetAliasResponse:
        return pb.SetAliasResponse(
            alias=alias_message(await self._executors.registry(self._aliases.set, request))
        )

    async def PromoteModelVersion(
        self, request: pb.PromoteModelVersionRequest
    ) -> pb.PromoteModelVersionResponse:
        return pb.PromoteModelVersionResponse(
            alias=alias_message(await self._executors.registry(self._aliases.promote, request))
        )

    async def DeleteAlias(self, request: pb.DeleteAliasRequest) -> pb.DeleteAliasResponse:
        await self._executors.registry(self._aliases.delete, request)
        return pb.DeleteAliasResponse()

    async def RollbackAlias(self, request: pb.RollbackAliasRequest) -> pb.RollbackAliasResponse:
        return pb.RollbackAliasResponse(
            alias=alias_message(await self._executors.registry(self._aliases.roll_back, request))
        )

    async def ListAliasEvents(self, request: pb.ListAliasEventsRequest) -> pb.ListAliasEventsResponse:
        page = await self._executors.registry(self._aliases.events, request)
        return pb.ListAliasEventsResponse(
            events=map(event_message, page.items), next_page_token=page.next_page_token
        )

    async def GetServingStatus(self, request: pb.GetServingStatusRequest) -> pb.GetServingStatusResponse:
        servers = await self._reporter.servers()
        return pb.GetServingStatusResponse(
            servers=map(server_message, servers),
            answered_by=self._reporter.server_id,
            registry=contact_message(self._contact),
        )
