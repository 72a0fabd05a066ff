"""How versions' answers compare, as messages."""

from __future__ import annotations

from dataclasses import fields

from mfserve.v1 import model_service_pb2 as pb
from mfserve_registry.shadowing import AnswerSums, ShadowSums, Sums


def shadow_message(found: ShadowSums) -> pb.ShadowComparison:
    return pb.ShadowComparison(
        answers=answers_message(found.answers), dropped=found.dropped, failed=found.failed
    )


def answers_message(found: AnswerSums) -> pb.AnswerComparison:
    """The fields of both have the same names."""
    return pb.AnswerComparison(**{one.name: _distribution(getattr(found, one.name)) for one in fields(found)})


def _distribution(sums: Sums) -> pb.Distribution:
    return pb.Distribution(count=sums.count, mean=sums.mean, stddev=sums.deviation)
