"""Compares two versions of a model: by their metrics, by what shadowing has found, and by a sample of users."""

from __future__ import annotations

from mfserve.v1 import model_service_pb2 as pb
from mfserve.v1.common_pb2 import ModelSpec
from mfserve_registry import Registry, Version
from mfserve_registry.errors import InvalidArgument
from mfserve_registry.names import check_model
from mfserve_registry.shadowing import AnswerSums, ShadowSums
from mfserve_server.catalog import Catalog
from mfserve_server.conversions.comparisons import answers_message, shadow_message
from mfserve_server.executors import Executors
from mfserve_server.likenesses import common_users, compared
from mfserve_server.modeling import ModelDesk
from mfserve_server.names import loaded_version

DEFAULT_SAMPLE = 200
MAX_SAMPLE = 1000
PIECE = 32
"""Users who are recommended to in one go: between two, whoever asked may hang up, and another comparison goes on."""


class Comparing:
    """Answers CompareModelVersions. Samples are computed in a thread of low priority, which all requests share."""

    def __init__(self, registry: Registry, catalog: Catalog, executors: Executors, desk: ModelDesk) -> None:
        self._registry = registry
        self._catalog = catalog
        self._executors = executors
        self._desk = desk

    async def compare(self, request: pb.CompareModelVersionsRequest) -> pb.CompareModelVersionsResponse:
        """The response.

        Raises:
            InvalidArgument: a field is wrong.
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND.
            DamagedSnapshot, Unavailable: a version cannot be loaded, or the registry does not answer.
        """
        check_model(request.model)
        numbers = _version_numbers(request)
        users = _sample_size(request)
        versions, shadow = await self._executors.registry(self._known, request.model, *numbers)
        version, other_version = await self._executors.describing(self._desk.described, versions)
        response = pb.CompareModelVersionsResponse(version=version, other_version=other_version)
        if shadow != ShadowSums():
            response.shadow.CopyFrom(shadow_message(shadow))
        if users:
            response.sample.CopyFrom(answers_message(await self._sampled(request.model, numbers, users)))
        return response

    async def _sampled(self, model: str, numbers: tuple[int, int], users: int) -> AnswerSums:
        first, second = [
            await loaded_version(self._catalog, ModelSpec(model=model, version=number)) for number in numbers
        ]
        known = await self._executors.comparing(common_users, first, second, users)
        sums = AnswerSums()
        for start in range(0, len(known), PIECE):
            piece = known[start : start + PIECE]
            sums += await self._executors.comparing(compared, first, second, piece)
        return sums

    def _known(self, model: str, version: int, other: int) -> tuple[list[Version], ShadowSums]:
        """The two, and what shadowing has found. Blocks."""
        models = self._registry.models
        fields = ((version, "version"), (other, "other_version"))
        versions = [models.get_version(model, number, field) for number, field in fields]
        return versions, self._registry.shadowing.between(model, version, other)


def _version_numbers(request: pb.CompareModelVersionsRequest) -> tuple[int, int]:
    for field in ("version", "other_version"):
        if getattr(request, field) < 1:
            raise InvalidArgument("A version is 1 or more.", field=field)
    if request.version == request.other_version:
        raise InvalidArgument(
            f"Version {request.version} would be compared with itself: name another one.",
            field="other_version",
        )
    return request.version, request.other_version


def _sample_size(request: pb.CompareModelVersionsRequest) -> int:
    if not request.HasField("sample_size"):
        return DEFAULT_SAMPLE
    if not 0 <= request.sample_size <= MAX_SAMPLE:
        raise InvalidArgument(
            f"A sample has 0 to {MAX_SAMPLE:,} users, not {request.sample_size:,}.", field="sample_size"
        )
    return request.sample_size
