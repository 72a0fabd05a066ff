"""ModelService: requests from arguments, answers into types."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import chain, islice

from mfserve._client.aliases import alias_from
from mfserve._client.arguments import built, text
from mfserve._client.calls import Download, Paged, Unary
from mfserve._client.common import model_spec, moment, served_version
from mfserve._client.names import EMBEDDING_SIDE, HEAD, SERVING_STATE
from mfserve._client.versions import artifact_from, version_from
from mfserve._types.enums import EmbeddingSide, Head
from mfserve._types.models import (
    Embeddings,
    Model,
    ModelVersion,
    RegistryContact,
    ServerStatus,
    ServingStatus,
    ServingVersion,
    StoredArtifact,
)
from mfserve.errors import DataLossError
from mfserve.v1 import model_service_pb2 as pb


def list_models(page_size: int) -> Paged[pb.ListModelsRequest, pb.ListModelsResponse, Model]:
    """All models."""
    return Paged(
        lambda stubs: stubs.model.ListModels,
        lambda token: built(pb.ListModelsRequest, page_size=page_size, page_token=token),
        lambda response: ([_model(m) for m in response.models], response.next_page_token),
    )


def get_model(model: str) -> Unary[pb.GetModelRequest, pb.GetModelResponse, Model]:
    """One model."""
    return Unary(
        lambda stubs: stubs.model.GetModel,
        built(pb.GetModelRequest, model=text("model", model)),
        lambda response: _model(response.model),
    )


def list_versions(
    model: str, page_size: int
) -> Paged[pb.ListModelVersionsRequest, pb.ListModelVersionsResponse, ModelVersion]:
    """All versions of a model."""
    return Paged(
        lambda stubs: stubs.model.ListModelVersions,
        lambda token: built(
            pb.ListModelVersionsRequest, model=text("model", model), page_size=page_size, page_token=token
        ),
        lambda response: ([version_from(v) for v in response.versions], response.next_page_token),
    )


def get_version(
    model: str, version: int | None, alias: str | None
) -> Unary[pb.GetModelVersionRequest, pb.GetModelVersionResponse, ModelVersion]:
    """One version."""
    return Unary(
        lambda stubs: stubs.model.GetModelVersion,
        pb.GetModelVersionRequest(model_spec=model_spec(model, version, alias)),
        lambda response: version_from(response.version),
    )


def get_artifact(
    model: str, name: str, version: int | None, alias: str | None
) -> Download[pb.GetArtifactRequest, pb.GetArtifactResponse, StoredArtifact]:
    """A file of a version."""
    return Download(
        lambda stubs: stubs.model.GetArtifact,
        built(pb.GetArtifactRequest, model_spec=model_spec(model, version, alias), name=text("name", name)),
        _artifact,
    )


def get_embeddings(
    model: str, side: EmbeddingSide | str, head: Head | str | None, version: int | None, alias: str | None
) -> Download[pb.GetEmbeddingsRequest, pb.GetEmbeddingsResponse, Embeddings]:
    """All embeddings of one side."""
    wanted = EMBEDDING_SIDE.write("side", side)
    request = built(
        pb.GetEmbeddingsRequest,
        model_spec=model_spec(model, version, alias),
        side=wanted,
        head=HEAD.write_optional("head", head),
    )
    return Download(
        lambda stubs: stubs.model.GetEmbeddings,
        request,
        lambda parts: _embeddings(EMBEDDING_SIDE.read(wanted), parts),
    )


def first_users(
    model: str, most: int, version: int | None, alias: str | None
) -> Download[pb.GetEmbeddingsRequest, pb.GetEmbeddingsResponse, list[str]]:
    """Ids of users, in the order of the snapshot, at most so many: the call ends when they have arrived."""
    whole = get_embeddings(model, EmbeddingSide.USER, None, version, alias)
    return Download(
        whole.method,
        whole.request,
        lambda parts: list(islice(chain.from_iterable(part.ids for part in parts), most)),
    )


def delete_version(
    model: str, version: int
) -> Unary[pb.DeleteModelVersionRequest, pb.DeleteModelVersionResponse, None]:
    """Takes a version away."""
    return Unary(
        lambda stubs: stubs.model.DeleteModelVersion,
        built(pb.DeleteModelVersionRequest, model=text("model", model), version=version),
        lambda response: None,
    )


def delete_model(model: str) -> Unary[pb.DeleteModelRequest, pb.DeleteModelResponse, None]:
    """Takes a model away."""
    return Unary(
        lambda stubs: stubs.model.DeleteModel,
        built(pb.DeleteModelRequest, model=text("model", model)),
        lambda response: None,
    )


def serving_status() -> Unary[pb.GetServingStatusRequest, pb.GetServingStatusResponse, ServingStatus]:
    """What each server process holds."""
    return Unary(
        lambda stubs: stubs.model.GetServingStatus,
        pb.GetServingStatusRequest(),
        lambda response: ServingStatus(
            tuple(_server(s) for s in response.servers), response.answered_by, _contact(response.registry)
        ),
    )


def _model(message: pb.Model) -> Model:
    return Model(
        model=message.model,
        latest_version=message.latest_version,
        aliases=tuple(alias_from(a) for a in message.aliases),
        create_time=moment(message, "create_time"),
    )


def _server(message: pb.ServerStatus) -> ServerStatus:
    return ServerStatus(
        server_id=message.server_id,
        host=message.host,
        pid=message.pid,
        release=message.release,
        start_time=moment(message, "start_time"),
        heartbeat_time=moment(message, "heartbeat_time"),
        versions=tuple(
            ServingVersion(
                served_version(v.served_version),
                tuple(v.aliases),
                SERVING_STATE.read(v.state),
                v.message,
                v.streams,
            )
            for v in message.versions
        ),
    )


def _contact(message: pb.RegistryContact) -> RegistryContact:
    return RegistryContact(moment(message, "lost_time"), message.message, moment(message, "read_time"))


def _artifact(parts: Iterable[pb.GetArtifactResponse]) -> StoredArtifact:
    data = bytearray()
    artifact = None
    for part in parts:
        if part.HasField("artifact"):
            artifact = artifact_from(part.artifact)
        data += part.data
    if artifact is None or len(data) != artifact.size_bytes:
        raise DataLossError("the artifact did not arrive whole")
    return StoredArtifact(artifact, bytes(data))


def _embeddings(side: EmbeddingSide, parts: Iterable[pb.GetEmbeddingsResponse]) -> Embeddings:
    header: pb.EmbeddingsHeader | None = None
    ids: list[str] = []
    values, biases = array("f"), array("f")
    for part in parts:
        if part.HasField("header"):
            header = part.header
        ids.extend(part.ids)
        values.extend(part.values)
        biases.extend(part.biases)
    if header is None or len(ids) != header.count or len(values) != header.count * header.dimension:
        raise DataLossError("the embeddings did not arrive whole")
    flat = memoryview(values).cast("B")
    return Embeddings(
        served_version=served_version(header.served_version),
        side=side,
        head=HEAD.read(header.head),
        ids=tuple(ids),
        # A memoryview has no empty dimensions.
        values=flat.cast("f", (len(ids), header.dimension)) if values else flat.cast("f"),
        biases=biases or None,
        intercept=header.intercept,
    )
