"""What can go wrong in the registry, as one tree.

RegistryError
├── InvalidArgument      the request is wrong whatever the state is; names the field
├── NotFound             a model, version, alias, job or upload does not exist
├── AlreadyExists        a request_id was used before with another body
├── FailedPrecondition   right in itself, but not in this state
├── Aborted              a compare-and-swap lost; read again and decide again
├── PermissionDenied     a path outside the allowed roots, or what a caller may not do
├── Unauthenticated      nobody knows who calls
├── ResourceExhausted    a limit on size was passed
│   └── Overloaded       there is more to do than can be done; the same call may work later
├── LeaseLost            the attempt no longer holds its job; it must stop and publish nothing
├── DamagedSnapshot      a snapshot's bytes are not what its manifest says
│   └── UnsoundSnapshot  they are, but no version can have such numbers: whoever reads them again finds the same
├── DamagedArchive       a file is no archive of a version, or not as it was exported
└── Unavailable          the database or the store cannot be used now; the same call may work later

Each carries ``reason``, the name of a value of ``mfserve.v1.ErrorReason`` without its prefix, so that one
place in the server can turn any of them into a gRPC status. A few are for mfserve's own processes only, such as
JOB_CANCELLED, and are no values of it: in a call of the API they would be a defect, and are sent as INTERNAL.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class RegistryError(Exception):
    """Base of all errors of the registry.

    Attributes:
        message: one sentence for the caller: what is wrong, where, and what to do. Safe to send over the wire.
        reason: UPPER_SNAKE_CASE, the name of an ``ErrorReason`` without the prefix ``ERROR_REASON_``. May be left out
            where the class has one of its own.
        metadata: facts for programs, such as ``{"model": "movies"}``.
        field: dotted path of the offending request field, or None.
    """

    default_reason: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        reason: str | None = None,
        field: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        reason = reason or self.default_reason
        if not reason:
            raise TypeError(f"{type(self).__name__} needs a reason")
        self.message = message
        self.reason = reason
        self.field = field
        self.metadata = dict(metadata or {})


class InvalidArgument(RegistryError):
    default_reason = "INVALID_FIELD"


class NotFound(RegistryError):
    pass


class AlreadyExists(RegistryError):
    default_reason = "REQUEST_ID_REUSED"


class FailedPrecondition(RegistryError):
    pass


class Aborted(RegistryError):
    default_reason = "REVISION_MISMATCH"


class PermissionDenied(RegistryError):
    default_reason = "PATH_NOT_ALLOWED"


class Unauthenticated(RegistryError):
    default_reason = "UNAUTHENTICATED"


class ResourceExhausted(RegistryError):
    default_reason = "UPLOAD_TOO_LARGE"


class Overloaded(ResourceExhausted):
    default_reason = "OVERLOADED"
    retry_seconds: float = 1.0
    """How long the caller should wait before the same call is made again. May be set on an instance."""


class LeaseLost(RegistryError):
    default_reason = "LEASE_LOST"


class DamagedSnapshot(RegistryError):
    default_reason = "SNAPSHOT_DAMAGED"


class UnsoundSnapshot(DamagedSnapshot):
    pass


class DamagedArchive(RegistryError):
    default_reason = "ARCHIVE_DAMAGED"


class Unavailable(RegistryError):
    default_reason = "UNAVAILABLE"
    retry_seconds: float = 1.0
    """How long the caller should wait before the same call is made again. May be set on an instance."""
