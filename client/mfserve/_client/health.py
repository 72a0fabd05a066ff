"""The gRPC health protocol (grpc.health.v1), of which a client needs two messages of one field.

They are read and written here by hand, so that the base install needs no further package. A request for the whole
server is an empty message; a response is one varint in field 1, where 1 is SERVING.
"""

from __future__ import annotations

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
WHOLE_SERVER = b""

_FIELD_1_VARINT = 0x08
_SERVING = 1


def serving(response: bytes) -> bool:
    """Whether a response says SERVING. A default value (UNKNOWN) is an empty message."""
    return response[:2] == bytes((_FIELD_1_VARINT, _SERVING))


def as_is(message: bytes) -> bytes:
    """Serializes what is already bytes."""
    return message
