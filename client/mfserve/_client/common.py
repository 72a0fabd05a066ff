"""Parts of messages that every service uses."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from mfserve._client.arguments import built, text
from mfserve._types.models import ServedVersion
from mfserve.v1 import common_pb2


def model_spec(model: str, version: int | None, alias: str | None) -> common_pb2.ModelSpec:
    """The model, and which version of it; neither version nor alias: what ``production`` names."""
    if version is not None and alias is not None:
        raise TypeError("give a version or an alias, not both")
    text("model", model)
    if version is not None:
        return built(common_pb2.ModelSpec, model=model, version=version)
    if alias is not None:
        return built(common_pb2.ModelSpec, model=model, alias=text("alias", alias))
    return common_pb2.ModelSpec(model=model)


def served_version(message: common_pb2.ServedVersion) -> ServedVersion:
    """Ours for the protocol's."""
    return ServedVersion(message.model, message.version, message.digest)


def moment(message: Message, field: str) -> datetime | None:
    """A time in UTC, None where the field is absent."""
    if not message.HasField(field):
        return None
    timestamp: Timestamp = getattr(message, field)
    return timestamp.ToDatetime(tzinfo=UTC)
