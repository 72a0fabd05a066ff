"""The path of a unary call that a loaded version answers: kept replies, the version that is named, the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from google.protobuf.message import Message

from mfserve.v1.common_pb2 import ModelSpec
from mfserve_server.catalog import Catalog
from mfserve_server.gathering import Gathering, Reply
from mfserve_server.handlers import BytesMethod, decode
from mfserve_server.kept import KeptReplies, Key
from mfserve_server.loading import LoadedVersion
from mfserve_server.names import held_version, loaded_version


class Request(Protocol):
    """A request that names a version."""

    @property
    def model_spec(self) -> ModelSpec: ...


class Answers(BytesMethod):
    """Answers one method's calls. Each takes a version and keeps it to its end.

    Args:
        request_class: with a ``model_spec``.
        answer: makes the response's bytes; a pure function of its arguments.
        catalog: has the versions.
        kept: replies to repeated requests.
        gathering: when to make those that are not kept.
    """

    def __init__(
        self,
        request_class: type[Message],
        answer: Callable[[LoadedVersion, Any], Reply],
        catalog: Catalog,
        kept: KeptReplies,
        gathering: Gathering,
    ) -> None:
        self._request_class = request_class
        self._name: str = request_class.DESCRIPTOR.full_name
        self._answer = answer
        self._catalog = catalog
        self._kept = kept
        self._gathering = gathering

    def __call__(self, data: bytes) -> Reply:
        kept = self._kept.get((self._name, data))
        return self._gathering.answer(self._make, data) if kept is None else kept

    def _make(self, data: bytes) -> Reply:
        request: Any = decode(self._request_class, data)
        loaded = held_version(self._catalog, request.model_spec)
        if loaded is None:
            return self._when_loaded(request)
        reply = self._answer(loaded, request)
        if not self._catalog.is_aliased(loaded):
            return reply
        key = (self._name, data)
        period = self._kept.period(loaded.digest)
        if isinstance(reply, bytes):
            self._kept.keep(key, reply, period)
            return reply
        return self._when_made(key, reply, period)

    async def _when_loaded(self, request: Request) -> bytes:
        """Nothing is kept: ``latest`` may lead elsewhere next time, and a version that no alias names may go."""
        reply = self._answer(await loaded_version(self._catalog, request.model_spec), request)
        return reply if isinstance(reply, bytes) else await reply

    async def _when_made(self, key: Key, reply: Awaitable[bytes], period: int) -> bytes:
        made = await reply
        self._kept.keep(key, made, period)
        return made
