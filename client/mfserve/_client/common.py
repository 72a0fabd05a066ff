"""Parts of messages that every service uses."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from mfserve._types.models import ServedVersion
from mfserve.v1 import common_pb2


def model_spec(model: str, version: int | None, alias: str | None) -> common_pb2.ModelSpec:
    """The model, and which version of it; neither version nor alias: what ``production`` names."""
    if version is not None and alias is not None:
        raise TypeError("give a version or an alias, not both")
    spec = common_pb2.ModelSpec(model=model)
    if version is not None:
        spec.version = version
    if alias is not None:
        spec.alias = alias
    return spec


def text(name: str, value: object) -> str:
    """An id as it is sent; TypeError in words, where protobuf's own names neither the argument nor its type."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__} {value!r}: ids are strings")
    return value


def served_version(message: common_pb2.ServedVersion) -> ServedVersion:
    """Ours for the protocol's."""
    return ServedVersion(message.model, message.version, message.digest)


def moment(message: Message, field: str) -> datetime | None:
    """A time in UTC, None where the field is absent."""
    if not message.HasField(field):
        return None
    timestamp: Timestamp = getattr(message, field)
    return timestamp.ToDatetime(tzinfo=UTC)
