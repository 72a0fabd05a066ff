"""Models, versions, files, embeddings and what is served."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mfserve import Als, NoRanking
from mfserve.errors import DataLossError
from mfserve.types import (
    Artifact,
    DatasetFacts,
    EmbeddingSide,
    Evaluation,
    Gate,
    GateOutcome,
    GateReport,
    GateResult,
    Head,
    ItemIndex,
    Model,
    ModelVersion,
    Ranker,
    RankingMetrics,
    RatingMetrics,
    RatingPredictor,
    RatingScale,
    RegistryContact,
    ServedVersion,
    ServerStatus,
    ServingState,
    ServingStatus,
    ServingVersion,
    TrainingSpec,
)
from mfserve.v1 import common_pb2
from mfserve.v1 import model_service_pb2 as pb
from mfserve.v1 import training_spec_pb2 as spec_pb
from tests.client.conftest import Connect, Serve
from tests.client.services import VERSION
from tests.client.twins import listed

NOON = Timestamp(seconds=1_700_000_000)
AT_NOON = datetime.fromtimestamp(1_700_000_000, UTC)
SERVED = ServedVersion("movies", 3, "d" * 64)


async def test_a_version(serve: Serve, connect: Connect) -> None:
    message = pb.ModelVersion(
        served_version=VERSION,
        create_time=NOON,
        job_id="j1",
        dataset=pb.DatasetFacts(
            name="movielens-100k",
            fingerprint="f" * 64,
            ratings=100_000,
            users=943,
            items=1682,
            scale=common_pb2.RatingScale(minimum=1, maximum=5),
            skipped={"duplicate": 2},
            first_rating_time=NOON,
        ),
        spec=spec_pb.TrainingSpec(als=spec_pb.AlsConfig(factors=20), no_ranking=spec_pb.NoRanking(), seed=0),
        evaluation=pb.Evaluation(
            holdout_ratings=20_000,
            ranking_users=900,
            rating=[pb.RatingMetrics(predictor=pb.RATING_PREDICTOR_GLOBAL_MEAN, mse=4, rmse=2, mae=1.5)],
            ranking=[
                pb.RankingMetrics(
                    ranker=pb.RANKER_POPULARITY, ndcg_at_10=0.25, recall_at_20=0.125, coverage_at_10=0.5
                )
            ],
        ),
        aliases=["production"],
        size_bytes=5,
        artifacts=[pb.Artifact(name="curve.svg", media_type="image/svg+xml", size_bytes=6)],
        index=pb.ItemIndex(kind="faiss-ivf", recall=0.75),
        gates=pb.GateReport(
            alias="production",
            incumbent_version=2,
            revision=4,
            results=[
                pb.GateResult(
                    gate=pb.GATE_USERS,
                    outcome=pb.GATE_OUTCOME_FAILED,
                    value=0,
                    incumbent_value=2,
                    bound=0.5,
                    message="None left.",
                ),
                pb.GateResult(
                    gate=99,  # type: ignore[arg-type]  # a newer server's
                    outcome=pb.GATE_OUTCOME_SKIPPED,
                    message="Nothing.",
                ),
            ],
        ),
    )
    seen: list[common_pb2.ModelSpec] = []

    def answer(request: pb.GetModelVersionRequest, context: Any) -> Any:
        seen.append(request.model_spec)
        return pb.GetModelVersionResponse(version=message)

    client = connect(serve(GetModelVersion=answer).address)
    assert await client.get_version("movies", 3) == ModelVersion(
        model="movies",
        version=3,
        digest="d" * 64,
        create_time=AT_NOON,
        job_id="j1",
        dataset=DatasetFacts(
            "movielens-100k",
            "f" * 64,
            100_000,
            943,
            1682,
            RatingScale(1.0, 5.0),
            {"duplicate": 2},
            AT_NOON,
            None,
        ),
        spec=TrainingSpec(rating=Als(factors=20), ranking=NoRanking(), seed=0),
        evaluation=Evaluation(
            20_000,
            900,
            (RatingMetrics(RatingPredictor.GLOBAL_MEAN, 4.0, 2.0, 1.5),),
            (RankingMetrics(Ranker.POPULARITY, 0.25, 0.125, 0.5),),
        ),
        aliases=("production",),
        size_bytes=5,
        artifacts=(Artifact("curve.svg", "image/svg+xml", 6),),
        index=ItemIndex("faiss-ivf", 0.75),
        gates=GateReport(
            "production",
            2,
            4,
            (
                GateResult(Gate.USERS, GateOutcome.FAILED, 0.0, 2.0, 0.5, "None left."),
                GateResult(Gate.UNKNOWN, GateOutcome.SKIPPED, None, None, None, "Nothing."),
            ),
        ),
    )
    message.ClearField("evaluation")
    message.ClearField("index")
    message.ClearField("gates")
    bare = await client.get_version("movies", alias="candidate")
    assert (bare.evaluation, bare.index, bare.gates) == (None, None, None)
    assert seen == [
        common_pb2.ModelSpec(model="movies", version=3),
        common_pb2.ModelSpec(model="movies", alias="candidate"),
    ]


async def test_models_and_versions_page_by_page(serve: Serve, connect: Connect) -> None:
    def models(request: pb.ListModelsRequest, context: Any) -> Any:
        first = not request.page_token
        model = pb.Model(model="a" if first else "b", latest_version=4, create_time=NOON)
        return pb.ListModelsResponse(models=[model], next_page_token="more" if first else "")

    def versions(request: pb.ListModelVersionsRequest, context: Any) -> Any:
        assert (request.model, request.page_size) == ("a", 7)
        first = not request.page_token
        version = pb.ModelVersion(served_version=common_pb2.ServedVersion(version=2 if first else 1))
        return pb.ListModelVersionsResponse(versions=[version], next_page_token="more" if first else "")

    client = connect(serve(ListModels=models, ListModelVersions=versions).address)
    assert await listed(client.list_models()) == [Model("a", 4, (), AT_NOON), Model("b", 4, (), AT_NOON)]
    assert [v.version for v in await listed(client.list_versions("a", page_size=7))] == [2, 1]


@pytest.mark.parametrize("biases", [[], [0.5, -0.5, 0.25]])
async def test_embeddings(serve: Serve, connect: Connect, biases: list[float]) -> None:
    values = np.arange(6, dtype=np.float32).reshape(3, 2)

    def send(request: pb.GetEmbeddingsRequest, context: Any) -> Any:
        assert request.side == pb.EMBEDDING_SIDE_ITEM
        assert request.head == common_pb2.HEAD_RATING
        header = pb.EmbeddingsHeader(
            served_version=VERSION, head=common_pb2.HEAD_RATING, count=3, dimension=2, intercept=3.5
        )
        yield pb.GetEmbeddingsResponse(
            header=header, ids=["1", "2"], values=values[:2].ravel().tolist(), biases=biases[:2]
        )
        yield pb.GetEmbeddingsResponse(ids=["3"], values=values[2].tolist(), biases=biases[2:])

    client = connect(serve(GetEmbeddings=send).address)
    found = await client.get_embeddings("movies", "item", head="rating")
    assert found.ids == ("1", "2", "3")
    matrix = np.asarray(found.values)
    assert matrix.dtype == np.float32
    np.testing.assert_array_equal(matrix, values)
    assert np.shares_memory(matrix, np.asarray(found.values))
    assert found.dimension == 2
    assert (found.biases.tolist() if found.biases else []) == biases
    assert (found.side, found.head, found.intercept) == (EmbeddingSide.ITEM, Head.RATING, 3.5)
    assert found.served_version == SERVED


async def test_what_does_not_arrive_whole_is_not_given(serve: Serve, connect: Connect) -> None:
    def send(request: pb.GetEmbeddingsRequest, context: Any) -> Any:
        yield pb.GetEmbeddingsResponse(
            header=pb.EmbeddingsHeader(count=3, dimension=2), ids=["1"], values=[1, 2]
        )

    client = connect(serve(GetEmbeddings=send).address)
    with pytest.raises(DataLossError, match="did not arrive whole"):
        await client.get_embeddings("movies", "user")


async def test_serving_status(serve: Serve, connect: Connect) -> None:
    def status(request: pb.GetServingStatusRequest, context: Any) -> Any:
        version = pb.ServingVersion(
            served_version=VERSION,
            aliases=["production"],
            state=pb.SERVING_STATE_FAILED,
            message="item_factors.npy: wrong SHA-256",
            streams=2,
        )
        server = pb.ServerStatus(
            server_id="s1",
            host="h",
            pid=7,
            release="0.1.0",
            start_time=NOON,
            heartbeat_time=NOON,
            versions=[version],
        )
        contact = pb.RegistryContact(lost_time=NOON, message="Nobody is there.", read_time=NOON)
        return pb.GetServingStatusResponse(servers=[server], answered_by="s1", registry=contact)

    held = ServingVersion(SERVED, ("production",), ServingState.FAILED, "item_factors.npy: wrong SHA-256", 2)
    assert await connect(serve(GetServingStatus=status).address).serving_status() == ServingStatus(
        (ServerStatus("s1", "h", 7, "0.1.0", AT_NOON, AT_NOON, (held,)),),
        "s1",
        RegistryContact(AT_NOON, "Nobody is there.", AT_NOON),
    )


async def test_versions_and_models_are_deleted(serve: Serve, connect: Connect) -> None:
    seen: list[Any] = []

    def delete_version(request: pb.DeleteModelVersionRequest, context: Any) -> Any:
        seen.append(request)
        return pb.DeleteModelVersionResponse()

    def delete_model(request: pb.DeleteModelRequest, context: Any) -> Any:
        seen.append(request)
        return pb.DeleteModelResponse()

    client = connect(serve(DeleteModelVersion=delete_version, DeleteModel=delete_model).address)
    assert await client.delete_version("movies", 3) is None
    assert await client.delete_model("movies") is None
    assert seen == [
        pb.DeleteModelVersionRequest(model="movies", version=3),
        pb.DeleteModelRequest(model="movies"),
    ]
