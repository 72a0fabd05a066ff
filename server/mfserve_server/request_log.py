"""A line of the log for some of the calls."""

from __future__ import annotations

import random
import re
from typing import Any
from uuid import uuid4

import structlog
from google.protobuf.descriptor import MethodDescriptor
from grpc import StatusCode
from grpc.aio import ServicerContext

from mfserve_server.metrics.layout import CODES
from mfserve_server.served import ServedVersions

REQUEST_ID = "x-request-id"
"""Metadata by which a caller, or a proxy before it, names a call."""

_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")

_UNAUTHENTICATED: int = StatusCode.UNAUTHENTICATED.value[0]

_log = structlog.get_logger("mfserve_server.requests")


class RequestLog:
    """Of one method.

    Args:
        share: of the calls, drawn by chance; above 0, and 1 for all.
    """

    def __init__(self, method: MethodDescriptor, share: float) -> None:
        self._name = f"{method.containing_service.name}/{method.name}"
        self._share = share
        self._versions = ServedVersions(method)

    def wants(self) -> bool:
        """Whether the call that has just ended is to be logged."""
        # Not for secrets: any draw will do.
        return random.random() < self._share  # noqa: S311

    def tell(
        self,
        context: ServicerContext[Any, Any],
        code: int,
        seconds: float,
        caller: str | None,
        response: bytes | None = None,
        reason: str | None = None,
    ) -> None:
        """Logs it. Neither what was asked nor what was answered: ids of people are in both.

        Args:
            response: of a method with one response, where it has answered.
            reason: the one that the caller was told, where it has failed.
        """
        facts = self._versions.of(response)
        if caller is not None:
            facts["caller"] = caller
        if reason is not None:
            facts["reason"] = reason
        if code == _UNAUTHENTICATED:  # whoever it is, this is all that there is of them
            facts["peer"] = context.peer()
        _log.info(
            "call",
            method=self._name,
            code=CODES[code],
            seconds=round(seconds, 6),
            request_id=request_id(context),
            **facts,
        )


def request_id(context: ServicerContext[Any, Any]) -> str:
    """The caller's, or a new one where it sent none that may be logged."""
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID and isinstance(value, str) and _ID.fullmatch(value):
            return value
    return uuid4().hex
