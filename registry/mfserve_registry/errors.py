"""What can go wrong in the registry, as one tree.

RegistryError
├── InvalidArgument      the request is wrong whatever the state is; names the field
├── NotFound             a model, version, alias, job or upload does not exist
├── AlreadyExists        a request_id was used before with another body
├── FailedPrecondition   right in itself, but not in this state
├── Aborted              a compare-and-swap lost; read again and decide again
├── PermissionDenied     a path outside the allowed roots
├── ResourceExhausted    a limit on size was passed
├── LeaseLost            the attempt no longer holds its job; it must stop and publish nothing
├── DamagedSnapshot      a snapshot's bytes are not what its manifest says
└── Unavailable          the database does not answer now; the same call may work later

Each carries ``reason``, the name of a value of ``mfserve.v1.ErrorReason`` without its prefix, so that one
place in the server can turn any of them into a gRPC status.
"""

from __future__ import annotations

from collections.abc import Mapping


class RegistryError(Exception):
    """Base of all errors of the registry.

    Attributes:
        message: one sentence for the caller: what is wrong, where, and what to do. Safe to send over the wire.
        reason: UPPER_SNAKE_CASE, the name of an ``ErrorReason`` without the prefix ``ERROR_REASON_``.
        metadata: facts for programs, such as ``{"model": "movies"}``.
        field: dotted path of the offending request field, or None.
    """

    default_reason = "INTERNAL"

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        field: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.default_reason
        self.field = field
        self.metadata = dict(metadata or {})


class InvalidArgument(RegistryError):
    default_reason = "INVALID_FIELD"


class NotFound(RegistryError):
    default_reason = "NOT_FOUND"


class AlreadyExists(RegistryError):
    default_reason = "REQUEST_ID_REUSED"


class FailedPrecondition(RegistryError):
    default_reason = "FAILED_PRECONDITION"


class Aborted(RegistryError):
    default_reason = "REVISION_MISMATCH"


class PermissionDenied(RegistryError):
    default_reason = "PATH_NOT_ALLOWED"


class ResourceExhausted(RegistryError):
    default_reason = "UPLOAD_TOO_LARGE"


class LeaseLost(RegistryError):
    default_reason = "LEASE_LOST"


class DamagedSnapshot(RegistryError):
    default_reason = "SNAPSHOT_DAMAGED"


class Unavailable(RegistryError):
    default_reason = "REGISTRY_UNAVAILABLE"
