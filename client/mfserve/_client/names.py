"""The protocol's enumerations and ours, by name."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from itertools import repeat
from typing import Any, Generic, TypeVar

from mfserve._client.arguments import one_of
from mfserve._types import enums
from mfserve.v1 import common_pb2, model_service_pb2, recommendation_service_pb2, training_service_pb2

Member = TypeVar("Member", bound=StrEnum)


class Names(Generic[Member]):
    """Translates one enumeration in both directions."""

    def __init__(self, members: type[Member], protocol: Any, prefix: str) -> None:
        self.members = members
        self.unknown = members("UNKNOWN")
        self._by_number: dict[int, Member] = {}
        self._numbers: dict[Member, int] = {}
        for value in protocol.DESCRIPTOR.values:
            name = value.name.removeprefix(prefix)
            if value.number and name in members.__members__:
                self._by_number[value.number] = members(name)
                self._numbers[members(name)] = value.number

    def read(self, number: int) -> Member:
        """Ours; UNKNOWN where a newer server sends what this release does not know."""
        return self._by_number.get(number, self.unknown)

    def read_all(self, numbers: Iterable[int]) -> tuple[Member, ...]:
        """``read`` for each."""
        return tuple(map(self._by_number.get, numbers, repeat(self.unknown)))

    def read_optional(self, number: int) -> Member | None:
        """Ours; None where it is unspecified."""
        return self.read(number) if number else None

    def write(self, argument: str, member: Member | str) -> Any:
        """The protocol's number for a member or its name; ValueError, naming the argument, for anything else."""
        return one_of(argument, member, self._numbers)

    def write_optional(self, argument: str, member: Member | str | None) -> Any:
        """The protocol's number, 0 (unspecified) for None."""
        return 0 if member is None else self.write(argument, member)


HEAD = Names(enums.Head, common_pb2.Head, "HEAD_")
RECOMMENDATION_BASIS = Names(
    enums.RecommendationBasis, recommendation_service_pb2.RecommendationBasis, "RECOMMENDATION_BASIS_"
)
RATING_BASIS = Names(enums.RatingBasis, recommendation_service_pb2.RatingBasis, "RATING_BASIS_")
EMBEDDING_SIDE = Names(enums.EmbeddingSide, model_service_pb2.EmbeddingSide, "EMBEDDING_SIDE_")
RATING_PREDICTOR = Names(enums.RatingPredictor, model_service_pb2.RatingPredictor, "RATING_PREDICTOR_")
RANKER = Names(enums.Ranker, model_service_pb2.Ranker, "RANKER_")
SERVING_STATE = Names(enums.ServingState, model_service_pb2.ServingState, "SERVING_STATE_")
JOB_STATE = Names(enums.JobState, training_service_pb2.TrainingJobState, "TRAINING_JOB_STATE_")
TRAINING_STAGE = Names(enums.TrainingStage, training_service_pb2.TrainingStage, "TRAINING_STAGE_")
ALIAS_ACTION = Names(enums.AliasAction, model_service_pb2.AliasAction, "ALIAS_ACTION_")
GATE = Names(enums.Gate, model_service_pb2.Gate, "GATE_")
GATE_OUTCOME = Names(enums.GateOutcome, model_service_pb2.GateOutcome, "GATE_OUTCOME_")
