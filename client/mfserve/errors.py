"""What can go wrong, as one tree.

MfserveError
├── StatusError                       a call ended with a gRPC status other than OK
│   ├── CancelledError                CANCELLED
│   ├── UnknownError                  UNKNOWN
│   ├── InvalidArgumentError          INVALID_ARGUMENT: wrong whatever the state is; see ``field_violations``
│   ├── DeadlineExceededError         DEADLINE_EXCEEDED; also a TimeoutError
│   ├── NotFoundError                 NOT_FOUND
│   ├── AlreadyExistsError            ALREADY_EXISTS: a request_id was used before with another body
│   ├── PermissionDeniedError         PERMISSION_DENIED
│   ├── ResourceExhaustedError        RESOURCE_EXHAUSTED: a limit on size or load
│   ├── FailedPreconditionError       FAILED_PRECONDITION: right in itself, but not in this state
│   ├── AbortedError                  ABORTED: somebody else changed it; read again and decide again
│   ├── OutOfRangeError               OUT_OF_RANGE
│   ├── UnimplementedError            UNIMPLEMENTED: the server is older than this package
│   ├── InternalError                 INTERNAL: a defect of the server; ``metadata["error_id"]`` finds it in its log
│   ├── UnavailableError              UNAVAILABLE: the same call may work later
│   ├── DataLossError                 DATA_LOSS
│   └── UnauthenticatedError          UNAUTHENTICATED: nobody knows who calls; see ``Credentials``
└── TrainingError                     the calls went well, the training did not
    ├── TrainingFailedError
    └── TrainingCancelledError

Whatever a client raises because of the server or the network is one of these: no exception of grpc's passes
through. A mistake in the arguments that no request could express, such as both a ``user_id`` and a ``history``, or a
number for an id, is a TypeError or ValueError that names the argument.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "CancelledError",
    "DataLossError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "FieldViolation",
    "InternalError",
    "InvalidArgumentError",
    "MfserveError",
    "NotFoundError",
    "OutOfRangeError",
    "PermissionDeniedError",
    "ResourceExhaustedError",
    "StatusError",
    "TrainingCancelledError",
    "TrainingError",
    "TrainingFailedError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
]


class FieldViolation(NamedTuple):
    """One field of a request that is wrong, and why."""

    field: str
    """Dotted path of the field, such as ``model_spec.version``."""
    description: str


class MfserveError(Exception):
    """Base of everything that this package raises because of the server or the network.

    Attributes:
        message: what is wrong, for a person.
        reason: for a program: the name of a value of ``mfserve.v1.ErrorReason`` without its prefix, such as
            ``MODEL_NOT_FOUND``; empty where the error does not come from mfserve itself (the network, a proxy).
        metadata: facts that go with the reason, such as ``{"model": "movies"}``.
        field_violations: the fields that are wrong; empty unless the server named some.
        retry_seconds: how long the server asks to wait before the same call is made again; None unless it does.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        field_violations: Sequence[FieldViolation] = (),
        retry_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata = dict(metadata or {})
        self.field_violations = tuple(field_violations)
        self.retry_seconds = retry_seconds

    def __str__(self) -> str:
        """The message, and those of the fields that are wrong which it does not name."""
        unsaid = [
            violation
            for violation in self.field_violations
            if not re.search(rf"(?<!\w){re.escape(violation.field)}(?!\w)", self.message)
        ]
        if len(unsaid) == 1 and unsaid[0].description in self.message:
            return f"{unsaid[0].field}: {self.message}"
        told = "; ".join(f"{field}: {description}" for field, description in unsaid)
        return f"{self.message} ({told})" if told else self.message


class StatusError(MfserveError):
    """A call ended with a gRPC status other than OK; each status has its class."""

    code: str = "UNKNOWN"
    """Name of the gRPC status, such as ``NOT_FOUND``."""


class CancelledError(StatusError):
    """The client was closed before the call had ended (cancelling an asyncio task is asyncio's own exception)."""

    code = "CANCELLED"


class UnknownError(StatusError):
    """A status of which nothing else is known."""

    code = "UNKNOWN"


class InvalidArgumentError(StatusError):
    """The request is wrong whatever the state is; ``field_violations`` names the fields."""

    code = "INVALID_ARGUMENT"


class DeadlineExceededError(StatusError, TimeoutError):
    """No answer within the deadline; also raised where a wait of this package has ended without its event."""

    code = "DEADLINE_EXCEEDED"


class NotFoundError(StatusError):
    """A model, version, alias, item, job, upload or file does not exist; ``reason`` says which."""

    code = "NOT_FOUND"


class AlreadyExistsError(StatusError):
    """The ``request_id`` was used before with another body."""

    code = "ALREADY_EXISTS"


class PermissionDeniedError(StatusError):
    """Not allowed: to this caller, or to anybody, such as a training file outside the server's data roots."""

    code = "PERMISSION_DENIED"


class ResourceExhaustedError(StatusError):
    """A limit on size or load was passed."""

    code = "RESOURCE_EXHAUSTED"


class FailedPreconditionError(StatusError):
    """Right in itself, but not in this state, such as cancelling a job that has succeeded."""

    code = "FAILED_PRECONDITION"


class AbortedError(StatusError):
    """A compare-and-swap lost: read again and decide again."""

    code = "ABORTED"


class OutOfRangeError(StatusError):
    """Past the end of something."""

    code = "OUT_OF_RANGE"


class UnimplementedError(StatusError):
    """The server does not know the method: it is older than this package, or no mfserve."""

    code = "UNIMPLEMENTED"


class InternalError(StatusError):
    """A defect of the server; ``metadata["error_id"]`` finds it in the server's log."""

    code = "INTERNAL"


class UnavailableError(StatusError):
    """The server or its registry cannot be reached, it drains, or cannot load the version; the call may work later."""

    code = "UNAVAILABLE"


class DataLossError(StatusError):
    """Data are lost or damaged."""

    code = "DATA_LOSS"


class UnauthenticatedError(StatusError):
    """The server does not know who is calling: see ``mfserve.Credentials``."""

    code = "UNAUTHENTICATED"


class TrainingError(MfserveError):
    """The calls went well, the training did not end with a version.

    Attributes:
        job_id: the job.
    """

    def __init__(self, message: str, *, job_id: str, reason: str = "") -> None:
        super().__init__(message, reason=reason, metadata={"job_id": job_id})
        self.job_id = job_id


class TrainingFailedError(TrainingError):
    """The training failed; ``reason`` and ``message`` say why."""


class TrainingCancelledError(TrainingError):
    """The training was cancelled."""
