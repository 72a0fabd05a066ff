"""ModelService: models, versions, files, embeddings and who serves what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from mfserve.v1 import common_pb2
from mfserve.v1 import model_service_pb2 as pb
from mfserve_registry import Artifact, Registry
from mfserve_server.modeling import PART_BYTES
from tests.registry.snapshot.samples import random_content
from tests.server.calls import Server, failure
from tests.server.conftest import MakeServer
from tests.server.samples import FACTS, publish
from tests.waiting import until

MOVIES = common_pb2.ModelSpec(model="movies")


def of(version: int) -> common_pb2.ModelSpec:
    return common_pb2.ModelSpec(model="movies", version=version)


async def test_models_are_listed_with_their_aliases(server: Server, registry: Registry) -> None:
    publish(registry, "songs")
    publish(registry, "movies", seed=1)
    publish(registry, "movies", seed=2, promote_to="candidate")
    first = await server.models.ListModels(pb.ListModelsRequest(page_size=1))
    rest = await server.models.ListModels(pb.ListModelsRequest(page_token=first.next_page_token))
    movies, songs = first.models[0], rest.models[0]
    assert (movies.model, songs.model) == ("movies", "songs")
    assert movies.latest_version == 2
    assert [(alias.alias, alias.targets[0].version) for alias in movies.aliases] == [
        ("candidate", 2),
        ("production", 1),
    ]
    assert (await server.models.GetModel(pb.GetModelRequest(model="movies"))).model == movies


async def test_a_version_tells_how_it_was_made(server: Server, registry: Registry) -> None:
    published = publish(registry)
    version = (await server.models.GetModelVersion(pb.GetModelVersionRequest(model_spec=MOVIES))).version
    assert version.served_version.digest == published.digest
    assert (version.job_id, list(version.aliases)) == (published.job_id, ["production"])
    assert version.size_bytes == published.size_bytes > 0
    assert version.create_time.ToDatetime(published.created_at.tzinfo) == published.created_at
    assert (version.dataset.name, version.dataset.ratings) == ("sample", 30)
    assert (version.dataset.scale.minimum, version.dataset.scale.maximum) == (1, 5)
    assert version.dataset.skipped == {"rating is not a number": 2}
    assert version.dataset.first_rating_time.seconds == 874_724_710
    assert not version.dataset.HasField("last_rating_time"), "no year has that many seconds"
    assert (version.spec.seed, version.spec.als.factors) == (7, FACTS["spec"]["rating"]["factors"])
    assert (version.evaluation.holdout_ratings, version.evaluation.ranking_users) == (6, 3)
    assert [(row.predictor, row.mse, row.rmse, row.mae) for row in version.evaluation.rating] == [
        (pb.RATING_PREDICTOR_RATING_HEAD, 0.81, 0.9, 0.7),
        (pb.RATING_PREDICTOR_GLOBAL_MEAN, 1.21, 1.1, 0.9),
    ]
    assert [(row.ranker, row.ndcg_at_10) for row in version.evaluation.ranking] == [
        (pb.RANKER_RANKING_HEAD, 0.4),
        (pb.RANKER_POPULARITY, 0.2),
    ]
    assert [(file.name, file.media_type, file.size_bytes) for file in version.artifacts] == [
        ("training_curve.svg", "image/svg+xml", 6)
    ]


async def test_a_version_without_metrics_has_no_evaluation(server: Server, registry: Registry) -> None:
    publish(registry, content=random_content())
    version = (await server.models.GetModelVersion(pb.GetModelVersionRequest(model_spec=MOVIES))).version
    assert not version.HasField("evaluation")
    assert version.dataset.name == "sample"


async def test_a_version_whose_snapshot_is_gone_is_still_listed(server: Server, registry: Registry) -> None:
    published = publish(registry)
    (registry.snapshots.path(published.digest) / "manifest.json").unlink()
    listed = await server.models.ListModelVersions(pb.ListModelVersionsRequest(model="movies"))
    assert [version.served_version.digest for version in listed.versions] == [published.digest]
    assert not listed.versions[0].HasField("spec")


async def test_versions_are_listed_in_pages_the_newest_first(server: Server, registry: Registry) -> None:
    for seed in range(5):
        publish(registry, seed=seed)
    first = await server.models.ListModelVersions(pb.ListModelVersionsRequest(model="movies", page_size=3))
    rest = await server.models.ListModelVersions(
        pb.ListModelVersionsRequest(model="movies", page_size=3, page_token=first.next_page_token)
    )
    assert [v.served_version.version for v in [*first.versions, *rest.versions]] == [5, 4, 3, 2, 1]
    assert rest.next_page_token == ""
    latest = common_pb2.ModelSpec(model="movies", alias="latest")
    found = await server.models.GetModelVersion(pb.GetModelVersionRequest(model_spec=latest))
    assert found.version.served_version.version == 5


async def test_a_file_arrives_whole_in_parts(server: Server, registry: Registry) -> None:
    data = np.random.default_rng(1).bytes(2 * PART_BYTES + 17)
    publish(
        registry,
        artifacts=[Artifact("a.bin", "application/octet-stream", data), Artifact("b", "text/plain", b"")],
    )
    parts = [
        part
        async for part in server.models.GetArtifact(pb.GetArtifactRequest(model_spec=MOVIES, name="a.bin"))
    ]
    assert b"".join(part.data for part in parts) == data
    assert [part.HasField("artifact") for part in parts] == [True, False, False]
    assert parts[0].artifact.size_bytes == len(data)
    empty = [
        part async for part in server.models.GetArtifact(pb.GetArtifactRequest(model_spec=MOVIES, name="b"))
    ]
    assert [(part.artifact.name, part.data) for part in empty] == [("b", b"")]
    found = await failure(server.models.GetArtifact(pb.GetArtifactRequest(model_spec=MOVIES, name="c")))
    assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "ARTIFACT_NOT_FOUND")
    assert found.metadata == {"model": "movies", "version": "1", "name": "c"}


async def test_a_damaged_file_is_not_handed_out(server: Server, registry: Registry, home: Path) -> None:
    publish(registry, artifacts=[Artifact("curve.svg", "image/svg+xml", b"<svg/>")])
    (path,) = (path for path in (home / "artifacts").rglob("*") if path.is_file())
    path.write_bytes(b"<svg>")
    request = pb.GetArtifactRequest(model_spec=MOVIES, name="curve.svg")
    found = await failure(server.models.GetArtifact(request))
    assert (found.code, found.reason) == (grpc.StatusCode.UNAVAILABLE, "ARTIFACT_DAMAGED")
    assert found.metadata == {"model": "movies", "version": "1", "name": "curve.svg"}


@pytest.mark.parametrize("side", ["USER", "ITEM"])
@pytest.mark.parametrize("head", ["UNSPECIFIED", "RANKING", "RATING"])
async def test_embeddings_are_those_of_the_snapshot(
    side: str, head: str, server: Server, registry: Registry
) -> None:
    content = random_content(5, users=900, items=700, factors=150)
    publish(registry, content=content)
    request = pb.GetEmbeddingsRequest(
        model_spec=MOVIES,
        side=pb.EmbeddingSide.Value(f"EMBEDDING_SIDE_{side}"),
        head=common_pb2.Head.Value(f"HEAD_{head}"),
    )
    parts = [part async for part in server.models.GetEmbeddings(request)]
    header = parts[0].header
    assert content.ranking is not None
    factors = content.rating if head == "RATING" else content.ranking
    expected = factors.user_factors if side == "USER" else factors.item_factors
    values = np.array([value for part in parts for value in part.values], dtype=np.float32)
    np.testing.assert_array_equal(values.reshape(header.count, header.dimension), expected)
    ids = content.user_ids if side == "USER" else content.item_ids
    assert [row for part in parts for row in part.ids] == list(ids)
    biases = [bias for part in parts for bias in part.biases]
    if head == "RATING":
        np.testing.assert_array_equal(
            biases, content.rating.user_biases if side == "USER" else content.rating.item_biases
        )
        assert (header.head, header.intercept) == (common_pb2.HEAD_RATING, content.rating.intercept)
    else:
        assert (biases, header.head, header.intercept) == ([], common_pb2.HEAD_RANKING, 0)
    assert header.served_version.version == 1
    assert max(part.ByteSize() for part in parts) < 2 << 20
    assert [part.HasField("header") for part in parts] == [True] + [False] * (len(parts) - 1)


async def test_embeddings_of_nothing_are_refused(server: Server, registry: Registry) -> None:
    publish(registry, content=random_content(ranking=False))
    found = await failure(server.models.GetEmbeddings(pb.GetEmbeddingsRequest(model_spec=MOVIES)))
    assert (found.reason, found.fields) == ("INVALID_FIELD", ["side"])
    request = pb.GetEmbeddingsRequest(
        model_spec=MOVIES, side=pb.EMBEDDING_SIDE_ITEM, head=common_pb2.HEAD_RANKING
    )
    found = await failure(server.models.GetEmbeddings(request))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "HEAD_MISSING")
    assert found.fields == ["head"]


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        ("GetModel", pb.GetModelRequest(model="none"), "MODEL_NOT_FOUND"),
        ("GetModelVersion", pb.GetModelVersionRequest(model_spec=of(9)), "VERSION_NOT_FOUND"),
        ("ListModelVersions", pb.ListModelVersionsRequest(model="none"), "MODEL_NOT_FOUND"),
        ("GetArtifact", pb.GetArtifactRequest(model_spec=of(9), name="a"), "VERSION_NOT_FOUND"),
        (
            "GetEmbeddings",
            pb.GetEmbeddingsRequest(model_spec=of(9), side=pb.EMBEDDING_SIDE_USER),
            "VERSION_NOT_FOUND",
        ),
        ("DeleteModelVersion", pb.DeleteModelVersionRequest(model="movies", version=9), "VERSION_NOT_FOUND"),
        ("DeleteModelVersion", pb.DeleteModelVersionRequest(model="movies"), "VERSION_NOT_FOUND"),
        ("DeleteModel", pb.DeleteModelRequest(model="none"), "MODEL_NOT_FOUND"),
        ("DeleteModel", pb.DeleteModelRequest(), "INVALID_FIELD"),
        ("GetModel", pb.GetModelRequest(), "INVALID_FIELD"),
        ("GetModelVersion", pb.GetModelVersionRequest(), "INVALID_FIELD"),
        ("GetArtifact", pb.GetArtifactRequest(model_spec=of(1)), "INVALID_FIELD"),
        ("ListModels", pb.ListModelsRequest(page_size=-5), "INVALID_FIELD"),
        ("ListModels", pb.ListModelsRequest(page_token="x"), "PAGE_TOKEN_INVALID"),
        (
            "ListModelVersions",
            pb.ListModelVersionsRequest(model="movies", page_token="x"),
            "PAGE_TOKEN_INVALID",
        ),
    ],
)
async def test_what_is_not_there_or_not_asked_rightly_is_told(
    method: str, request_: Any, reason: str, server: Server, registry: Registry
) -> None:
    publish(registry)
    found = await failure(getattr(server.models, method)(request_))
    assert found.reason == reason


async def test_every_process_tells_what_it_holds(serve: MakeServer, registry: Registry) -> None:
    publish(registry)
    first, second = await serve(), await serve()

    async def both_are_told() -> bool:
        status = await first.models.GetServingStatus(pb.GetServingStatusRequest())
        return len(status.servers) == 2

    await until(both_are_told)
    status = await second.models.GetServingStatus(pb.GetServingStatusRequest())
    assert status.answered_by in {server.server_id for server in status.servers}
    for server in status.servers:
        (version,) = server.versions
        assert version.served_version.version == 1
        assert (version.state, list(version.aliases)) == (pb.SERVING_STATE_AVAILABLE, ["production"])
        assert server.pid > 0
        assert server.release
