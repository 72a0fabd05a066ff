"""CompareModelVersions: the metrics of two versions, what shadowing has found, and a sample of users."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

from mfserve.v1 import model_service_pb2 as pb
from mfserve_registry import Registry
from mfserve_registry.shadowing import AnswerSums, Pair, ShadowSums, Sums
from mfserve_registry.snapshot import SnapshotContent
from tests.registry.snapshot.samples import random_content
from tests.server.calls import Server, failure
from tests.server.conftest import MakeServer
from tests.server.oracle import likeness
from tests.server.samples import FACTS, publish
from tests.server.test_versions import states

CONTENTS: list[SnapshotContent] = [
    random_content(1, users=90, items=40),
    random_content(2, users=50, items=45),
]


@pytest.fixture
async def server(serve: MakeServer, registry: Registry) -> Server:
    """A server of two versions, of which the second knows a part of the first's users."""
    publish(registry, seed=1)
    for content in CONTENTS:
        publish(registry, content=content)
    return await serve(poll_seconds=60)


async def compare(server: Server, version: int, other: int, **fields: Any) -> pb.CompareModelVersionsResponse:
    request = pb.CompareModelVersionsRequest(model="movies", version=version, other_version=other, **fields)
    response: pb.CompareModelVersionsResponse = await server.models.CompareModelVersions(request)
    return response


async def test_a_sample_is_what_both_recommend_to_the_users_whom_both_know(server: Server) -> None:
    found = await compare(server, 2, 3, sample_size=1000)
    assert [found.version.served_version.version, found.other_version.served_version.version] == [2, 3]
    assert not found.HasField("shadow")
    each = [likeness(CONTENTS, user, 10) for user in range(50)]
    for measured, values in zip(
        (found.sample.overlap, found.sample.rank_correlation, found.sample.score_shift),
        zip(*each, strict=True),
        strict=True,
    ):
        numbers = [value for value in values if value is not None]
        assert measured.count == len(numbers)
        assert measured.mean == pytest.approx(np.mean(numbers), rel=1e-5)
        assert measured.stddev == pytest.approx(np.std(numbers), rel=1e-4)
    assert found.sample.seconds.count == 0


async def test_a_small_sample_is_always_the_same(server: Server) -> None:
    once, again = [await compare(server, 2, 3, sample_size=7) for _ in range(2)]
    assert once.sample.overlap.count == 7
    assert once == again
    assert (await compare(server, 2, 3)).sample.overlap.count == 50


async def test_both_versions_metrics_are_told_without_loading_them(
    server: Server, registry: Registry
) -> None:
    publish(registry, seed=3)
    found = await compare(server, 1, 4, sample_size=0)
    assert not found.HasField("sample")
    assert set(await states(server)) == {("movies", 1)}
    for version in (found.version, found.other_version):
        assert version.evaluation.rating[0].rmse == FACTS["metrics"]["rating"][0]["rmse"]


async def test_what_shadowing_has_found_is_told_in_the_order_of_the_request(
    server: Server, registry: Registry
) -> None:
    shift = Sums.of(0.25, 0.5)
    registry.shadowing.put("a", {Pair("movies", 2, 1): ShadowSums(AnswerSums(score_shift=shift), 3, 4)})
    for version, other, sign in ((2, 1, 1), (1, 2, -1)):
        shadow = (await compare(server, version, other, sample_size=0)).shadow
        assert (shadow.dropped, shadow.failed) == (3, 4)
        assert (shadow.answers.score_shift.count, shadow.answers.score_shift.mean) == (2, sign * 0.375)
        assert shadow.answers.score_shift.stddev == pytest.approx(0.125)


@pytest.mark.parametrize(
    ("fields", "code", "reason", "field"),
    [
        ({"model": "films"}, "NOT_FOUND", "MODEL_NOT_FOUND", "model"),
        ({"model": "No name"}, "INVALID_ARGUMENT", "INVALID_FIELD", "model"),
        ({"version": 9}, "NOT_FOUND", "VERSION_NOT_FOUND", "version"),
        ({"other_version": 9}, "NOT_FOUND", "VERSION_NOT_FOUND", "other_version"),
        ({"version": 0}, "INVALID_ARGUMENT", "INVALID_FIELD", "version"),
        ({"other_version": -1}, "INVALID_ARGUMENT", "INVALID_FIELD", "other_version"),
        ({"other_version": 1}, "INVALID_ARGUMENT", "INVALID_FIELD", "other_version"),
        ({"sample_size": -1}, "INVALID_ARGUMENT", "INVALID_FIELD", "sample_size"),
        ({"sample_size": 1001}, "INVALID_ARGUMENT", "INVALID_FIELD", "sample_size"),
    ],
)
async def test_what_is_wrong_is_named(
    server: Server, fields: dict[str, Any], code: str, reason: str, field: str
) -> None:
    wanted: dict[str, Any] = {"model": "movies", "version": 1, "other_version": 2} | fields
    found = await failure(server.models.CompareModelVersions(pb.CompareModelVersionsRequest(**wanted)))
    assert (found.code, found.reason) == (grpc.StatusCode[code], reason)
    assert found.fields == [field]
