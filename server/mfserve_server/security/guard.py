"""Lets callers through who may, before their request is looked at."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from google.protobuf.message import Message
from grpc.aio import ServicerContext

from mfserve_registry.errors import PermissionDenied, Unauthenticated
from mfserve_server.security.access import Access, Caller, read_access
from mfserve_server.security.files import BadFile, LastGood
from mfserve_server.security.scopes import Rule

Context = ServicerContext[Any, Any]
ModelOfJob = Callable[[str], Awaitable[str]]
"""The model that a job is to train; the registry's errors."""

_log = structlog.get_logger(__name__)

_METADATA = "authorization"
_BEARER = "Bearer "
_NAMES = ("x509_common_name", "x509_subject_alternative_name")


class Guard:
    """Knows callers by a file.

    Args:
        path: the file of callers, see ``read_access``.
        model_of_job: for callers who are limited to some models.
        outdated: told by 1 that the file cannot be used any more, and by 0 that it can.

    Raises:
        BadAccessFile: there is no such file, or it cannot be used. Later on, a new one that cannot be used leaves the
            last in place, and is told of once.
    """

    def __init__(
        self, path: Path, model_of_job: ModelOfJob, outdated: Callable[[float], None] = lambda value: None
    ) -> None:
        self._model_of_job = model_of_job
        self._outdated = outdated
        self._file = LastGood([path], partial(read_access, path))
        if not len(self.access):
            _log.warning("nobody may call: the file of callers names none")

    def look(self) -> None:
        """Reads the file again if it has changed."""
        try:
            if self._file.look():
                tell = _log.info if len(self.access) else _log.warning
                tell("has read who may call", callers=len(self.access))
        except BadFile as error:
            _log.error("goes on with the callers it had", message=str(error))
        self._outdated(float(self._file.is_outdated))

    @property
    def access(self) -> Access:
        """The callers, as they were read last; another one after each reading."""
        return self._file.found

    def identify(self, context: Context) -> Caller:
        """Who calls. Unauthenticated where nobody knows."""
        return _known(self.access, context)

    def admit(self, caller: Caller, rule: Rule) -> None:
        """Lets through who may call a method of that rule.

        Raises:
            Unauthenticated: what the caller showed has expired.
            PermissionDenied: SCOPE_MISSING.
        """
        if caller.is_over:
            raise Unauthenticated(f"What the caller {caller.name} showed has expired.")
        if caller.scopes.isdisjoint(rule.scopes):
            needed = " or ".join(sorted(rule.scopes))
            raise PermissionDenied(
                f"The caller {caller.name} may not call this method: it needs the scope {needed}.",
                reason="SCOPE_MISSING",
                metadata={"caller": caller.name, "scopes": ",".join(sorted(rule.scopes))},
            )

    async def check_model(self, caller: Caller, rule: Rule, request: Message) -> None:
        """PermissionDenied: MODEL_NOT_ALLOWED where the request is about a model that is not among the caller's."""
        if caller.models is None or rule.is_open:
            return
        model = await self._model_of_job(request.job_id) if rule.job else rule.model_in(request)  # type: ignore[attr-defined] # so the rule says
        if model in caller.models:
            return
        if model and not rule.job:
            about = f"for the model {model}"
        elif rule.job:
            about = "for the model of this job"
        else:
            about = "without naming one of its models"
        raise PermissionDenied(
            f"The caller {caller.name} may not do this {about}.",
            reason="MODEL_NOT_ALLOWED",
            metadata={"caller": caller.name},
        )


def _known(access: Access, context: Context) -> Caller:
    for key, value in context.invocation_metadata() or ():
        if key == _METADATA:
            return _with_token(access, value)
    names = list(_certified(context)) if access.by_certificate else []
    for name in names:
        if (caller := access.by_certificate.get(name)) is not None:
            return caller
    if names:
        raise Unauthenticated(f"This server knows no caller by the certificate of {', '.join(names)}.")
    raise Unauthenticated(
        "This server answers known callers only: send a token, as 'authorization: Bearer …'."
    )


def _with_token(access: Access, value: str | bytes) -> Caller:
    text = value.decode("latin-1") if isinstance(value, bytes) else value
    caller = access.with_token(text.removeprefix(_BEARER).encode()) if text.startswith(_BEARER) else None
    if caller is None:
        raise Unauthenticated("This server does not know the token that was sent.")
    return caller


def _certified(context: Context) -> Iterable[str]:
    """Names in the certificate that the caller showed, which the handshake has verified."""
    found = context.auth_context() or {}
    for kind in _NAMES:
        for name in found.get(kind, ()):
            yield name.decode(errors="replace")
