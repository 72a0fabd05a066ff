"""The path of a unary call that a loaded version answers: kept replies, the version that is named, the answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from google.protobuf.message import Message

from mfserve.v1.common_pb2 import ModelSpec
from mfserve_server.catalog import Catalog
from mfserve_server.gathering import Gathering
from mfserve_server.handlers import BytesMethod, decode
from mfserve_server.kept import KeptReplies, Key
from mfserve_server.loading import LoadedVersion
from mfserve_server.names import held_version, loaded_version
from mfserve_server.outcomes import Outcome, Reply, attempt
from mfserve_server.shadowing import Shadowing


class Request(Protocol):
    """A request that names a version."""

    @property
    def model_spec(self) -> ModelSpec: ...


AnswerEach = Callable[[LoadedVersion, Sequence[Any]], Sequence[Outcome]]
"""Makes the outcome of each request to a version, in their order."""


class Answers(BytesMethod):
    """Answers one method's calls. Each takes a version and keeps it to its end.

    Args:
        request_class: with a ``model_spec``, and perhaps a ``user_id``: an alias of several versions goes by it.
        answer_each: responses are a pure function of its arguments.
        catalog: has the versions.
        kept: replies to repeated requests.
        shadowing: is told of what a version has been asked, unless the reply was kept: that question was put before.
        sheds: whether calls are refused of late.
    """

    def __init__(
        self,
        request_class: type[Message],
        answer_each: AnswerEach,
        catalog: Catalog,
        kept: KeptReplies,
        shadowing: Shadowing | None = None,
        sheds: Callable[[], bool] = lambda: False,
    ) -> None:
        self._request_class = request_class
        self._name: str = request_class.DESCRIPTOR.full_name
        self._names_user = "user_id" in request_class.DESCRIPTOR.fields_by_name
        self._answer_each = answer_each
        self._catalog = catalog
        self._kept = kept
        self._shadowing = shadowing
        self._gathering = Gathering(self._outcomes, sheds)

    def __call__(self, data: bytes) -> Awaitable[bytes]:
        return self._gathering.answer(data)

    def _outcomes(self, calls: Sequence[bytes]) -> list[Outcome]:
        """Of each call; those that name one version are answered together."""
        outcomes: dict[int, Outcome] = {}
        asked: dict[int, tuple[LoadedVersion, list[int], list[Request]]] = {}
        for number, data in enumerate(calls):
            kept = self._kept.get((self._name, data))
            if kept is not None:
                outcomes[number] = kept
                continue
            begun = attempt(self._begun, data)
            if isinstance(begun, Exception):
                outcomes[number] = begun
                continue
            request, loaded = begun
            if loaded is None:
                outcomes[number] = self._when_loaded(request)
            else:
                _, numbers, requests = asked.setdefault(id(loaded), (loaded, [], []))
                numbers.append(number)
                requests.append(request)
        for loaded, numbers, requests in asked.values():
            made = attempt(self._answer_each, loaded, requests)
            each = [made] * len(numbers) if isinstance(made, Exception) else made
            for number, outcome in zip(numbers, each, strict=True):
                outcomes[number] = self._keep(loaded, calls[number], outcome)
            if self._shadowing is not None and self._shadowing.wanted:
                for number, request in zip(numbers, requests, strict=True):
                    self._shadowing.offer(loaded, request.model_spec, self._user_of(request), calls[number])
        return [outcomes[number] for number in range(len(calls))]

    def _begun(self, data: bytes) -> tuple[Request, LoadedVersion | None]:
        request: Any = decode(self._request_class, data)
        return request, held_version(self._catalog, request.model_spec, self._user_of(request))

    def _user_of(self, request: Any) -> str:
        return request.user_id if self._names_user else ""

    def _keep(self, loaded: LoadedVersion, data: bytes, outcome: Outcome) -> Outcome:
        if isinstance(outcome, Exception) or not self._catalog.is_aliased(loaded):
            return outcome
        key, period = (self._name, data), self._kept.period(loaded.digest)
        if not isinstance(outcome, bytes):
            return self._when_made(key, outcome, period)
        self._kept.keep(key, outcome, period)
        return outcome

    async def _when_loaded(self, request: Request) -> bytes:
        """Nothing is kept: ``latest`` may lead elsewhere next time, and a version that no alias names may go."""
        loaded = await loaded_version(self._catalog, request.model_spec, user_id=self._user_of(request))
        (outcome,) = self._answer_each(loaded, [request])
        if isinstance(outcome, Exception):
            raise outcome
        return outcome if isinstance(outcome, bytes) else await outcome

    async def _when_made(self, key: Key, reply: Awaitable[bytes], period: int) -> bytes:
        made = await reply
        self._kept.keep(key, made, period)
        return made


def one_by_one(answer: Callable[[LoadedVersion, Any], Reply]) -> AnswerEach:
    """Of a method whose calls gain nothing from one another."""
    return lambda loaded, requests: [attempt(answer, loaded, request) for request in requests]
