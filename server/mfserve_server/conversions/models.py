"""Models, versions and who serves them, as messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from mfserve.v1 import model_service_pb2 as pb
from mfserve.v1.common_pb2 import RatingScale, ServedVersion
from mfserve.v1.training_spec_pb2 import TrainingSpec as TrainingSpecMessage
from mfserve_registry.artifacts import ArtifactInfo
from mfserve_registry.contact import Contact
from mfserve_registry.models import Model, Version
from mfserve_registry.serving import ServerStatus, ServingLease
from mfserve_registry.spec import TrainingSpec
from mfserve_server.conversions.aliases import alias_message
from mfserve_server.conversions.gates import report_message
from mfserve_server.conversions.specs import training_spec_message
from mfserve_server.conversions.times import since_epoch, timestamp

Facts = Mapping[str, Any]
"""What a snapshot's manifest says."""


def model_message(model: Model) -> pb.Model:
    return pb.Model(
        model=model.model,
        latest_version=model.latest_version,
        aliases=[alias_message(alias) for alias in model.aliases],
        create_time=timestamp(model.created_at),
    )


def version_message(version: Version, manifest: Facts) -> pb.ModelVersion:
    """``manifest`` has the snapshot's facts and index; it is empty where it cannot be read."""
    facts, index = manifest.get("facts", {}), manifest.get("index")
    return pb.ModelVersion(
        served_version=ServedVersion(model=version.model, version=version.version, digest=version.digest),
        create_time=timestamp(version.created_at),
        job_id=version.job_id or "",
        dataset=_dataset(facts.get("dataset")),
        spec=_spec(facts.get("spec")),
        evaluation=_evaluation(facts.get("metrics")),
        aliases=version.aliases,
        size_bytes=version.size_bytes,
        artifacts=[artifact_message(artifact) for artifact in version.artifacts],
        gates=None if version.gates is None else report_message(version.gates),
        index=index and pb.ItemIndex(kind=index["kind"], recall=index["recall"]),
    )


def artifact_message(artifact: ArtifactInfo) -> pb.Artifact:
    return pb.Artifact(name=artifact.name, media_type=artifact.media_type, size_bytes=artifact.size_bytes)


def server_message(status: ServerStatus) -> pb.ServerStatus:
    server = status.server
    return pb.ServerStatus(
        server_id=server.server_id,
        host=server.host,
        pid=server.pid,
        release=server.release,
        start_time=timestamp(server.started_at),
        heartbeat_time=timestamp(status.heartbeat_at),
        versions=[_serving_version(lease) for lease in status.leases],
    )


def contact_message(contact: Contact) -> pb.RegistryContact:
    loss = contact.loss
    return pb.RegistryContact(
        lost_time=None if loss is None else timestamp(loss.since),
        message="" if loss is None else loss.message,
        read_time=None if contact.read_at is None else timestamp(contact.read_at),
    )


def _serving_version(lease: ServingLease) -> pb.ServingVersion:
    return pb.ServingVersion(
        served_version=ServedVersion(model=lease.model, version=lease.version, digest=lease.digest),
        aliases=lease.aliases,
        state=pb.ServingState.Value(f"SERVING_STATE_{lease.state.name}"),
        message=f"{lease.reason}: {lease.message}" if lease.reason else lease.message,
        streams=lease.streams,
    )


def _dataset(facts: Facts | None) -> pb.DatasetFacts | None:
    if not facts:
        return None
    scale = facts.get("scale")
    first, last = facts.get("period") or (None, None)
    return pb.DatasetFacts(
        name=facts.get("name", ""),
        fingerprint=facts.get("fingerprint", ""),
        ratings=facts.get("ratings", 0),
        users=facts.get("users", 0),
        items=facts.get("items", 0),
        scale=None if scale is None else RatingScale(minimum=scale["minimum"], maximum=scale["maximum"]),
        skipped=facts.get("skipped"),
        first_rating_time=since_epoch(first),
        last_rating_time=since_epoch(last),
    )


def _spec(facts: Facts | None) -> TrainingSpecMessage | None:
    if facts is None:
        return None
    try:
        return training_spec_message(TrainingSpec.model_validate(facts))
    except ValidationError:
        return None  # a newer release trained it with options that this one does not know


def _evaluation(facts: Facts | None) -> pb.Evaluation | None:
    if not facts:
        return None
    return pb.Evaluation(
        holdout_ratings=facts.get("holdout_ratings", 0),
        ranking_users=facts.get("ranking_users", 0),
        rating=[_rating_metrics(row) for row in _rows(facts, "rating")],
        ranking=[_ranking_metrics(row) for row in _rows(facts, "ranking")],
    )


def _rows(facts: Facts, name: str) -> Sequence[Facts]:
    rows: Sequence[Facts] = facts.get(name) or ()
    return rows


def _rating_metrics(row: Facts) -> pb.RatingMetrics:
    return pb.RatingMetrics(
        predictor=pb.RatingPredictor.Value(f"RATING_PREDICTOR_{row['predictor']}"),
        mse=row["mse"],
        rmse=row["rmse"],
        mae=row["mae"],
    )


def _ranking_metrics(row: Facts) -> pb.RankingMetrics:
    return pb.RankingMetrics(
        ranker=pb.Ranker.Value(f"RANKER_{row['ranker']}"),
        ndcg_at_10=row["ndcg_at_10"],
        recall_at_20=row["recall_at_20"],
        coverage_at_10=row["coverage_at_10"],
    )
