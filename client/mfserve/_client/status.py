"""The one place that turns a gRPC status into an exception of ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import cast

import grpc

from mfserve import errors
from mfserve._client.handshakes import handshake_error
from mfserve._client.peer import Peer
from mfserve.errors import FieldViolation, StatusError

BY_CODE: dict[str, type[StatusError]] = {
    error.code: error
    for error in (
        errors.CancelledError,
        errors.UnknownError,
        errors.InvalidArgumentError,
        errors.DeadlineExceededError,
        errors.NotFoundError,
        errors.AlreadyExistsError,
        errors.PermissionDeniedError,
        errors.ResourceExhaustedError,
        errors.FailedPreconditionError,
        errors.AbortedError,
        errors.OutOfRangeError,
        errors.UnimplementedError,
        errors.InternalError,
        errors.UnavailableError,
        errors.DataLossError,
        errors.UnauthenticatedError,
    )
}

_DETAILS = "grpc-status-details-bin"

# What grpc itself says is about sockets; what a caller needs to know is which server.
_PREFACES = {
    "UNAVAILABLE": "the server at {address} cannot be reached",
    "DEADLINE_EXCEEDED": "the server at {address} did not answer in time",
}

# grpcio's words where this side ended the call. Where the other side did, its process is about to end: it cancels the
# calls that reach it in the moment in which it takes no more.
_ENDED_HERE = frozenset({"Locally cancelled by application!", "Channel closed!"})


@contextmanager
def grpc_errors_become_ours(peer: Peer) -> Iterator[None]:
    """Raises every RpcError, of grpc and grpc.aio, as a StatusError."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_rpc_error(error, peer) from error


def from_rpc_error(error: grpc.RpcError, peer: Peer) -> StatusError:
    """The exception for a call that ended with a status other than OK."""
    code, message = error.code().name, error.details() or ""
    # Pairs, in a class of its own in grpc and in another one in grpc.aio.
    trailers = cast("Iterable[tuple[str, str | bytes]]", error.trailing_metadata() or ())
    details = next((value for key, value in trailers if key == _DETAILS), b"")
    told = _read(details if isinstance(details, bytes) else b"")
    reason = told.reason
    if code == "CANCELLED" and not reason and message not in _ENDED_HERE:
        return errors.UnavailableError(f"the server at {peer.address} ended the call")
    if not reason and code in _PREFACES:
        if code == "UNAVAILABLE" and (ours := handshake_error(message, peer.address, peer.when_closed)):
            return ours
        preface = _PREFACES[code].format(address=peer.address)
        message = f"{preface} ({message})" if message else preface
    return BY_CODE.get(code, errors.UnknownError)(
        message or code,
        reason=reason,
        metadata=told.metadata,
        field_violations=told.violations,
        retry_seconds=told.retry_seconds,
    )


@dataclass(slots=True)
class _Told:
    reason: str = ""
    metadata: dict[str, str] = field(default_factory=dict)
    violations: list[FieldViolation] = field(default_factory=list)
    retry_seconds: float | None = None


def _read(details: bytes) -> _Told:
    # Only a call that failed pays for these imports.
    from google.protobuf.message import DecodeError
    from google.rpc import error_details_pb2, status_pb2

    told = _Told()
    try:
        for detail in status_pb2.Status.FromString(details).details:
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
                told.reason, told.metadata = info.reason, dict(info.metadata)
            elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                bad = error_details_pb2.BadRequest.FromString(detail.value)
                told.violations += [FieldViolation(v.field, v.description) for v in bad.field_violations]
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                retry = error_details_pb2.RetryInfo.FromString(detail.value)
                told.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()
    except DecodeError:
        pass  # a proxy may put anything there; the status alone is still right
    return told
