"""The one place where errors become gRPC statuses.

What callers see is a google.rpc.Status with ErrorInfo (domain ``mfserve``, reason out of ErrorReason), with BadRequest
where one field is to blame, and with RetryInfo where the same call may work later. The text of an exception that
nobody foresaw is never sent: it is logged under an id, and the caller gets the id.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import structlog
from google.protobuf import any_pb2
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

from mfserve.v1 import error_reason_pb2
from mfserve_registry import errors as registry

DOMAIN = "mfserve"
DETAILS_KEY = "grpc-status-details-bin"
PUSHBACK_KEY = "grpc-retry-pushback-ms"

# Callers refuse more than 8 KiB of metadata, and would then see another error. In bytes of UTF-8: the message goes
# twice, once percent-encoded (three times as long at worst), and the details go in base64.
_MAX_MESSAGE = 500
_MAX_FACT = 150
_MAX_VIOLATIONS = 2000

_REASONS = frozenset(error_reason_pb2.ErrorReason.keys())

_log = structlog.get_logger(__name__)

_CODES: Mapping[type[registry.RegistryError], StatusCode] = {
    registry.InvalidArgument: StatusCode.INVALID_ARGUMENT,
    registry.NotFound: StatusCode.NOT_FOUND,
    registry.AlreadyExists: StatusCode.ALREADY_EXISTS,
    registry.FailedPrecondition: StatusCode.FAILED_PRECONDITION,
    registry.Aborted: StatusCode.ABORTED,
    registry.PermissionDenied: StatusCode.PERMISSION_DENIED,
    registry.ResourceExhausted: StatusCode.RESOURCE_EXHAUSTED,
    registry.DamagedSnapshot: StatusCode.UNAVAILABLE,
    registry.Unavailable: StatusCode.UNAVAILABLE,
    registry.Unauthenticated: StatusCode.UNAUTHENTICATED,
}
_REPEATABLE = (registry.Unavailable, registry.Overloaded)


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that is wrong: its path in the request's proto, and why."""

    field: str
    description: str


class InvalidFields(registry.InvalidArgument):
    """Several fields are wrong at once."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        first = violations[0]
        super().__init__(f"{first.field}: {first.description}", field=first.field)
        self.violations = tuple(violations)


@dataclass(frozen=True, slots=True)
class Failure:
    """What a caller is told.

    Attributes:
        code: the gRPC status.
        reason: name of an ErrorReason without its prefix.
        message: one sentence, not long.
        metadata: facts for programs.
        violations: fields that are wrong.
        retry_seconds: how long to wait before the same call is made again; None: nothing is known.
    """

    code: StatusCode
    reason: str
    message: str
    metadata: Mapping[str, str] = field(default_factory=dict)
    violations: Sequence[Violation] = ()
    retry_seconds: float | None = None

    @property
    def details(self) -> bytes:
        """The serialized google.rpc.Status, for the trailing metadata."""
        facts = {key: _short(value, _MAX_FACT) for key, value in self.metadata.items()}
        messages: list[Message] = [
            error_details_pb2.ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=facts)
        ]
        if self.violations:
            messages.append(_bad_request(self.violations))
        if self.retry_seconds is not None:
            delay = Duration()
            delay.FromMicroseconds(round(self.retry_seconds * 1e6))
            messages.append(error_details_pb2.RetryInfo(retry_delay=delay))
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for message in messages:
            status.details.append(_packed(message))
        return bytes(status.SerializeToString())


def failure(error: BaseException, method: str) -> Failure:
    """What the caller of ``method`` is told about ``error``."""
    # A reason that the API does not know was never meant for callers: whatever led to it is a defect.
    if isinstance(error, registry.RegistryError) and _is_known(error.reason):
        for kind, code in _CODES.items():
            if isinstance(error, kind):
                message = _short(error.message, _MAX_MESSAGE)
                retry = error.retry_seconds if isinstance(error, _REPEATABLE) else None
                return Failure(code, error.reason, message, error.metadata, _violations(error), retry)
    error_id = uuid4().hex
    _log.error("call failed by a defect", method=method, error_id=error_id, exc_info=error)
    return Failure(
        StatusCode.INTERNAL,
        "INTERNAL",
        f"The server failed. Its log says why under the id {error_id}.",
        {"error_id": error_id},
    )


@contextmanager
def under(prefix: str) -> Iterator[None]:
    """Errors that name a field of a part of the request get the part's name before it."""
    try:
        yield
    except registry.RegistryError as error:
        if error.field is not None:
            error.field = f"{prefix}.{error.field}"
        if isinstance(error, InvalidFields):
            error.violations = tuple(
                Violation(f"{prefix}.{violation.field}", violation.description)
                for violation in error.violations
            )
        raise


def _is_known(reason: str) -> bool:
    return f"ERROR_REASON_{reason}" in _REASONS


def _violations(error: registry.RegistryError) -> Sequence[Violation]:
    if isinstance(error, InvalidFields):
        return error.violations
    return () if error.field is None else (Violation(error.field, error.message),)


def _bad_request(violations: Sequence[Violation]) -> error_details_pb2.BadRequest:
    """As many of the violations as there is room for, the first in any case."""
    message = error_details_pb2.BadRequest()
    for violation in violations:
        part = error_details_pb2.BadRequest.FieldViolation(
            field=_short(violation.field, _MAX_MESSAGE),
            description=_short(violation.description, _MAX_MESSAGE),
        )
        if message.ByteSize() + part.ByteSize() > _MAX_VIOLATIONS:
            break
        message.field_violations.append(part)
    return message


def _short(text: str, most: int) -> str:
    """``text``, cut to ``most`` bytes of UTF-8."""
    data = text.encode(errors="replace")
    return text if len(data) <= most else f"{data[: most - 3].decode(errors='ignore')}…"


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
