"""Each method of the SDK reaches its RPC, and no RPC is without a method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from mfserve.errors import MfserveError
from tests.client.conftest import Connect, Serve
from tests.client.services import METHODS
from tests.client.twins import listed

COLUMNS = {"user_id": ["1"], "item_id": ["2"], "rating": [3.0]}

CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "Train": lambda client: client.train("movies", dataset="movielens-100k"),
    "GetTrainingJob": lambda client: client.get_job("job"),
    "ListTrainingJobs": lambda client: listed(client.list_jobs()),
    "CancelTrainingJob": lambda client: client.cancel_job("job"),
    "WatchTrainingJob": lambda client: listed(client.watch_job("job", timeout=0.2)),
    "UploadDataset": lambda client: client.upload_dataset(COLUMNS),
    "Recommend": lambda client: client.recommend("movies", "1"),
    "StreamRecommend": lambda client: listed(client.stream_recommend("movies", ["1"], timeout=0.2)),
    "PredictRating": lambda client: client.predict_rating("movies", "1", "2"),
    "BatchPredictRatings": lambda client: client.batch_predict_ratings("movies", [("1", "2")]),
    "FindSimilarItems": lambda client: client.similar_items("movies", "2"),
    "ListModels": lambda client: listed(client.list_models()),
    "GetModel": lambda client: client.get_model("movies"),
    "ListModelVersions": lambda client: listed(client.list_versions("movies")),
    "GetModelVersion": lambda client: client.get_version("movies"),
    "CompareModelVersions": lambda client: client.compare_versions("movies", 1, 2),
    "GetArtifact": lambda client: client.get_artifact("movies", "curve.svg", timeout=0.2),
    "GetEmbeddings": lambda client: client.get_embeddings("movies", "user", timeout=0.2),
    "SetAlias": lambda client: client.set_alias("movies", "production", 1, expected_revision=0),
    "PromoteModelVersion": lambda client: client.promote("movies", 1),
    "DeleteAlias": lambda client: client.delete_alias("movies", "production", expected_revision=1),
    "RollbackAlias": lambda client: client.rollback_alias("movies", "production"),
    "ListAliasEvents": lambda client: listed(client.list_alias_events("movies", "production")),
    "DeleteModelVersion": lambda client: client.delete_version("movies", 1),
    "DeleteModel": lambda client: client.delete_model("movies"),
    "GetServingStatus": lambda client: client.serving_status(),
}


def test_no_rpc_is_without_a_method() -> None:
    assert CALLS.keys() == METHODS.keys()


@pytest.mark.parametrize("name", CALLS)
async def test_a_method_calls_its_rpc(serve: Serve, connect: Connect, name: str) -> None:
    method = METHODS[name]

    def empty(request: Any, context: Any) -> Any:
        answer = GetMessageClass(method.output_type)()
        return iter([answer]) if method.server_streaming else answer

    server = serve(**{name: empty})
    try:
        await CALLS[name](connect(server.address))
    except MfserveError:
        # An empty message is a whole answer of some methods and none of the others; either way it was asked for.
        assert method.server_streaming
    assert set(server.calls) == {name}
