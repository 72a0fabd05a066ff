"""What each method needs: one of some scopes, and the model that its request is about.

A method that is not here may be called by nobody who is limited: a test sees to it that all of them are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from google.protobuf.message import Message


class Scope(StrEnum):
    """What a caller may do.

    RECOMMEND asks models and reads what they are; TRAIN trains them and reads what came of it, an alias that is moved
    through the gates of a training included; ADMIN does everything.
    """

    RECOMMEND = "recommend"
    TRAIN = "train"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a method needs.

    Attributes:
        scopes: a caller has one of them.
        model: path of the field with the model's name. () where the request is about no model in particular.
        job: whether the request names a job in ``job_id`` instead.
        is_open: whether callers who are limited to some models may call it though it names none.
    """

    scopes: frozenset[Scope]
    model: tuple[str, ...] = ()
    job: bool = False
    is_open: bool = False

    def model_in(self, request: Message) -> str:
        """The model's name; "" where it is missing."""
        found: object = request
        for name in self.model:
            found = getattr(found, name)
        return str(found) if self.model else ""


_ASK = frozenset({Scope.RECOMMEND, Scope.ADMIN})
_READ = frozenset(Scope)
_TRAIN = frozenset({Scope.TRAIN, Scope.ADMIN})
_ADMIN = frozenset({Scope.ADMIN})
_MODEL = ("model",)
_SPEC = ("model_spec", "model")

RULES: Mapping[str, Rule] = {
    f"mfserve.v1.{method}": rule
    for method, rule in {
        "RecommendationService.Recommend": Rule(_ASK, _SPEC),
        "RecommendationService.StreamRecommend": Rule(_ASK, ("config", *_SPEC)),
        "RecommendationService.PredictRating": Rule(_ASK, _SPEC),
        "RecommendationService.BatchPredictRatings": Rule(_ASK, _SPEC),
        "RecommendationService.FindSimilarItems": Rule(_ASK, _SPEC),
        "TrainingService.Train": Rule(_TRAIN, _MODEL),
        "TrainingService.GetTrainingJob": Rule(_TRAIN, job=True),
        "TrainingService.ListTrainingJobs": Rule(_TRAIN, _MODEL),
        "TrainingService.CancelTrainingJob": Rule(_TRAIN, job=True),
        "TrainingService.WatchTrainingJob": Rule(_TRAIN, job=True),
        "TrainingService.UploadDataset": Rule(_TRAIN, is_open=True),
        "ModelService.ListModels": Rule(_READ),
        "ModelService.GetModel": Rule(_READ, _MODEL),
        "ModelService.ListModelVersions": Rule(_READ, _MODEL),
        "ModelService.GetModelVersion": Rule(_READ, _SPEC),
        "ModelService.CompareModelVersions": Rule(_TRAIN, _MODEL),
        "ModelService.GetArtifact": Rule(_TRAIN, _SPEC),
        "ModelService.GetEmbeddings": Rule(_ASK, _SPEC),
        "ModelService.DeleteModelVersion": Rule(_ADMIN, _MODEL),
        "ModelService.DeleteModel": Rule(_ADMIN, _MODEL),
        "ModelService.SetAlias": Rule(_ADMIN, _MODEL),
        "ModelService.PromoteModelVersion": Rule(_ADMIN, _MODEL),
        "ModelService.DeleteAlias": Rule(_ADMIN, _MODEL),
        "ModelService.RollbackAlias": Rule(_ADMIN, _MODEL),
        "ModelService.ListAliasEvents": Rule(_ADMIN, _MODEL),
        "ModelService.GetServingStatus": Rule(_ADMIN),
    }.items()
}

NOBODY = Rule(frozenset())
