"""How two versions differ: request from arguments, answer into types."""

from __future__ import annotations

from mfserve._client.arguments import built, text
from mfserve._client.calls import Unary
from mfserve._client.versions import version_from
from mfserve._types.comparisons import (
    AnswerComparison,
    Distribution,
    ShadowComparison,
    VersionComparison,
)
from mfserve.v1 import model_service_pb2 as pb


def compare_versions(
    model: str, version: int, other_version: int, sample_size: int | None
) -> Unary[pb.CompareModelVersionsRequest, pb.CompareModelVersionsResponse, VersionComparison]:
    """Two versions of a model."""
    return Unary(
        lambda stubs: stubs.model.CompareModelVersions,
        built(
            pb.CompareModelVersionsRequest,
            model=text("model", model),
            version=version,
            other_version=other_version,
            sample_size=sample_size,
        ),
        _comparison,
    )


def _comparison(message: pb.CompareModelVersionsResponse) -> VersionComparison:
    return VersionComparison(
        version=version_from(message.version),
        other_version=version_from(message.other_version),
        shadow=_shadow(message.shadow) if message.HasField("shadow") else None,
        sample=_answers(message.sample) if message.HasField("sample") else None,
    )


def _shadow(message: pb.ShadowComparison) -> ShadowComparison:
    return ShadowComparison(_answers(message.answers), message.dropped, message.failed)


def _answers(message: pb.AnswerComparison) -> AnswerComparison:
    return AnswerComparison(
        overlap=_distribution(message.overlap),
        rank_correlation=_distribution(message.rank_correlation),
        score_shift=_distribution(message.score_shift),
        seconds=_distribution(message.seconds),
        other_seconds=_distribution(message.other_seconds),
        added_seconds=_distribution(message.added_seconds),
    )


def _distribution(message: pb.Distribution) -> Distribution | None:
    return Distribution(message.count, message.mean, message.stddev) if message.count else None
