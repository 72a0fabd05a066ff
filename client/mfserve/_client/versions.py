"""A version and its files, from the protocol's messages."""

from __future__ import annotations

from mfserve._client.common import moment
from mfserve._client.names import GATE, GATE_OUTCOME, RANKER, RATING_PREDICTOR
from mfserve._client.spec import scale_from, spec_from
from mfserve._types.models import (
    Artifact,
    DatasetFacts,
    Evaluation,
    GateReport,
    GateResult,
    ItemIndex,
    ModelVersion,
    RankingMetrics,
    RatingMetrics,
)
from mfserve.v1 import model_service_pb2 as pb


def version_from(message: pb.ModelVersion) -> ModelVersion:
    """A version."""
    return ModelVersion(
        model=message.served_version.model,
        version=message.served_version.version,
        digest=message.served_version.digest,
        create_time=moment(message, "create_time"),
        job_id=message.job_id,
        dataset=_facts(message.dataset),
        spec=spec_from(message.spec),
        evaluation=_evaluation(message.evaluation) if message.HasField("evaluation") else None,
        aliases=tuple(message.aliases),
        size_bytes=message.size_bytes,
        artifacts=tuple(artifact_from(a) for a in message.artifacts),
        index=ItemIndex(message.index.kind, message.index.recall) if message.HasField("index") else None,
        gates=_gates(message.gates) if message.HasField("gates") else None,
    )


def artifact_from(message: pb.Artifact) -> Artifact:
    """A file, without its bytes."""
    return Artifact(message.name, message.media_type, message.size_bytes)


def _facts(message: pb.DatasetFacts) -> DatasetFacts:
    return DatasetFacts(
        name=message.name,
        fingerprint=message.fingerprint,
        ratings=message.ratings,
        users=message.users,
        items=message.items,
        scale=scale_from(message.scale) if message.HasField("scale") else None,
        skipped=dict(message.skipped),
        first_rating_time=moment(message, "first_rating_time"),
        last_rating_time=moment(message, "last_rating_time"),
    )


def _evaluation(message: pb.Evaluation) -> Evaluation:
    return Evaluation(
        holdout_ratings=message.holdout_ratings,
        ranking_users=message.ranking_users,
        rating=tuple(
            RatingMetrics(RATING_PREDICTOR.read(m.predictor), m.mse, m.rmse, m.mae) for m in message.rating
        ),
        ranking=tuple(
            RankingMetrics(RANKER.read(m.ranker), m.ndcg_at_10, m.recall_at_20, m.coverage_at_10)
            for m in message.ranking
        ),
    )


def _gates(message: pb.GateReport) -> GateReport:
    return GateReport(
        alias=message.alias,
        incumbent_version=message.incumbent_version if message.HasField("incumbent_version") else None,
        revision=message.revision,
        results=tuple(
            GateResult(
                gate=GATE.read(result.gate),
                outcome=GATE_OUTCOME.read(result.outcome),
                value=result.value if result.HasField("value") else None,
                incumbent_value=result.incumbent_value if result.HasField("incumbent_value") else None,
                bound=result.bound if result.HasField("bound") else None,
                message=result.message,
            )
            for result in message.results
        ),
    )
