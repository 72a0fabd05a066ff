"""How two versions differ, as the SDK tells it."""

from __future__ import annotations

from typing import Any

from mfserve.types import AnswerComparison, Distribution, ShadowComparison
from mfserve.v1 import common_pb2
from mfserve.v1 import model_service_pb2 as pb
from tests.client.conftest import Connect, Serve


async def test_every_part_of_a_comparison_is_read_and_none_is_made_up(serve: Serve, connect: Connect) -> None:
    measured = {
        name: pb.Distribution(count=number, mean=number / 8, stddev=number / 4)
        for number, name in enumerate(pb.AnswerComparison.DESCRIPTOR.fields_by_name, 1)
    }
    response = pb.CompareModelVersionsResponse(
        version=pb.ModelVersion(served_version=common_pb2.ServedVersion(model="movies", version=3)),
        other_version=pb.ModelVersion(served_version=common_pb2.ServedVersion(model="movies", version=4)),
        shadow=pb.ShadowComparison(answers=pb.AnswerComparison(**measured), dropped=7, failed=8),
    )
    seen: list[pb.CompareModelVersionsRequest] = []

    def answer(request: pb.CompareModelVersionsRequest, context: Any) -> Any:
        seen.append(request)
        return response

    client = connect(serve(CompareModelVersions=answer).address)
    found = await client.compare_versions("movies", 3, 4)
    assert (found.version.version, found.other_version.version) == (3, 4)
    distributions = [Distribution(number, number / 8, number / 4) for number in range(1, 7)]
    assert found.shadow == ShadowComparison(AnswerComparison(*distributions), dropped=7, failed=8)
    assert found.sample is None
    response.ClearField("shadow")
    response.sample.overlap.CopyFrom(measured["overlap"])
    sampled = await client.compare_versions("movies", 3, 4, sample_size=0)
    assert sampled.shadow is None
    assert sampled.sample == AnswerComparison(distributions[0], None, None, None, None, None)
    assert seen == [
        pb.CompareModelVersionsRequest(model="movies", version=3, other_version=4),
        pb.CompareModelVersionsRequest(model="movies", version=3, other_version=4, sample_size=0),
    ]
