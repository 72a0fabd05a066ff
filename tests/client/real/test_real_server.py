"""The SDK against mfserve's own server."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from mfserve import Als, Keras, NoSplit, errors
from mfserve.types import AliasShadow, JobState, RatingBasis, RecommendationBasis, ServingState
from mfserve_registry import Progress, Registry
from mfserve_registry.snapshot import SnapshotContent
from tests.client.conftest import Connect
from tests.client.twins import listed
from tests.registry.snapshot.samples import random_content, rating_of
from tests.server.calls import Server
from tests.server.conftest import MakeServer
from tests.server.oracle import best, ranking_scores, rating_scores, seen
from tests.server.samples import LEASE, publish


@pytest.fixture
def client(connect: Connect, server: Server) -> Any:
    return connect(server.address)


async def test_recommend_is_the_oracles_answer(client: Any, content: SnapshotContent) -> None:
    await client.wait_ready()
    user_id = content.user_ids[5]
    found = await client.recommend("movies", user_id, limit=7)
    assert [item.item_id for item in found] == best(content, ranking_scores(content, 5), 7, seen(content, 5))
    by_rating = await client.recommend("movies", user_id, limit=7, ranking_head="rating", include_seen=True)
    assert [item.item_id for item in by_rating] == best(content, rating_scores(content, 5), 7, set())
    assert found.basis is by_rating.basis is RecommendationBasis.MODEL
    assert (await client.recommend("movies", "nobody")).basis is RecommendationBasis.POPULARITY
    folded = await client.recommend("movies", history={content.item_ids[0]: 5.0})
    assert folded.basis is RecommendationBasis.FOLD_IN
    assert content.item_ids[0] not in [item.item_id for item in folded]


async def test_the_stream_says_what_single_calls_say(client: Any, content: SnapshotContent) -> None:
    users = [*content.user_ids, "nobody"]
    rows = await listed(client.stream_recommend("movies", users, limit=5, batch_size=64))
    assert [row.user_id for row in rows] == users
    for row in rows:
        single = await client.recommend("movies", row.user_id, limit=5)
        assert tuple(row) == single.items
        assert (row.basis, row.ranking_head) == (single.basis, single.ranking_head)


async def test_a_stream_keeps_its_version_over_a_swap_and_a_drain(
    connect: Connect, serve: MakeServer, registry: Registry, content: SnapshotContent
) -> None:
    publish(registry, content=content)
    first = await serve(drain_seconds=0.0, notice_seconds=0.0)
    client = connect(first.address)
    rows = []
    async for row in client.stream_recommend("movies", content.user_ids, limit=5, batch_size=8):
        rows.append(row)
        if len(rows) == 20:
            publish(registry, content=random_content(4, users=300, items=40), promote_to="production")
            await serve(port=int(first.address.rpartition(":")[2]))
            await first.service.stop()
    assert [row.user_id for row in rows] == list(content.user_ids)
    assert {row.served_version.version for row in rows} == {1}
    assert (await client.recommend("movies", "nobody")).served_version.version == 2


async def test_ratings_and_similar_items(client: Any, content: SnapshotContent) -> None:
    user, item = content.user_ids[0], content.item_ids[0]
    single = await client.predict_rating("movies", user, item)
    pairs = [(user, item), ("nobody", item), (user, "nothing"), ("nobody", "nothing")]
    many = await client.batch_predict_ratings("movies", pairs * 3000)
    assert len(many) == 12_000
    assert many[0] == many[8] == single
    assert [p.basis for p in many[:4]] == [
        RatingBasis.MODEL,
        RatingBasis.ITEM_MEAN,
        RatingBasis.USER_MEAN,
        RatingBasis.GLOBAL_MEAN,
    ]
    similar = await client.similar_items("movies", item, limit=5)
    assert len(similar) == 5
    assert item not in [s.item_id for s in similar]
    with pytest.raises(errors.NotFoundError) as caught:
        await client.similar_items("movies", "nothing")
    assert caught.value.reason == "ITEM_NOT_FOUND"


async def test_models_versions_and_files(client: Any, content: SnapshotContent) -> None:
    (model,) = await listed(client.list_models())
    assert model == await client.get_model("movies")
    assert [alias.alias for alias in model.aliases] == ["production"]
    (version,) = await listed(client.list_versions("movies", page_size=1))
    assert version == await client.get_version("movies") == await client.get_version("movies", 1)
    assert version.evaluation is not None
    stored = await client.get_artifact("movies", version.artifacts[0].name)
    assert stored.data == b"<svg/>"
    embeddings = await client.get_embeddings("movies", "user")
    assert list(embeddings.ids) == list(content.user_ids)
    assert content.ranking is not None
    np.testing.assert_array_equal(np.asarray(embeddings.values), content.ranking.user_factors)
    rating = await client.get_embeddings("movies", "item", head="rating")
    np.testing.assert_array_equal(np.asarray(rating.biases), rating_of(content).item_biases)
    status = await client.serving_status()
    (process,) = [s for s in status.servers if s.server_id == status.answered_by]
    assert [(v.served_version.digest, v.state) for v in process.versions] == [
        (version.digest, ServingState.AVAILABLE)
    ]


async def test_an_alias_is_compared_and_swapped(client: Any) -> None:
    alias = await client.set_alias("movies", "candidate", 1, expected_revision=0, reason="to try")
    assert (alias.revision, alias.targets[0].version) == (1, 1)
    with pytest.raises(errors.AbortedError) as caught:
        await client.set_alias("movies", "candidate", 1, expected_revision=0)
    assert caught.value.reason == "REVISION_MISMATCH"
    with pytest.raises(errors.FailedPreconditionError):
        await client.set_alias("movies", "latest", 1, expected_revision=0)


async def test_an_alias_is_split_rolled_back_deleted_and_remembered(
    client: Any, registry: Registry, content: SnapshotContent
) -> None:
    publish(registry, content=content)
    named = ("movies", "canary")
    first = await client.set_alias(*named, 1, expected_revision=0)
    split = await client.set_alias(*named, targets={1: 10, 2: 90}, expected_revision=1)
    assert [(target.version, target.weight) for target in split.targets] == [(2, 90), (1, 10)]
    shadowed = await client.set_alias(*named, 1, shadow=(2, 0.5), expected_revision=2)
    assert shadowed.shadow == AliasShadow(2, 0.5)
    back = [await client.rollback_alias(*named) for _ in range(2)]
    assert [alias.targets for alias in back] == [split.targets, first.targets]
    with pytest.raises(errors.FailedPreconditionError) as caught:
        await client.rollback_alias(*named)
    assert caught.value.reason == "ROLLBACK_TARGET_MISSING"
    await client.delete_alias(*named, expected_revision=5)
    assert [alias.alias for alias in (await client.get_model("movies")).aliases] == ["production"]
    events = await listed(client.list_alias_events(*named, page_size=4))
    assert [event.revision for event in events] == [6, 5, 4, 3, 2, 1]
    for event in events[1:]:
        assert await client.alias_at(*named, event.time) == event
    assert await client.alias_at(*named, events[0].time) is None
    assert await client.alias_at(*named, events[-1].time - timedelta(seconds=1)) is None


async def test_what_nobody_needs_is_deleted(
    client: Any, registry: Registry, content: SnapshotContent
) -> None:
    publish(registry, content=content)
    with pytest.raises(errors.FailedPreconditionError) as caught:
        await client.delete_version("movies", 1)
    assert (caught.value.reason, caught.value.metadata["aliases"]) == ("VERSION_IN_USE", "production")
    await client.delete_version("movies", 2)
    for call in (client.delete_version, client.get_version):
        with pytest.raises(errors.NotFoundError):
            await call("movies", 2)
    with pytest.raises(errors.FailedPreconditionError) as caught:
        await client.delete_model("movies")
    assert caught.value.reason == "MODEL_IN_USE"
    await client.delete_alias("movies", "production", expected_revision=1)
    await client.delete_model("movies")
    assert await listed(client.list_models()) == []


async def test_a_job_from_its_queue_to_its_end(client: Any, registry: Registry) -> None:
    job = await client.train(
        "movies", dataset="movielens-100k", rating=Keras(epochs=3), promote_to_alias="candidate"
    )
    assert job.state is JobState.PENDING
    assert job.info.spec.rating == Keras(
        factors=10,
        epochs=3,
        batch_size=32,
        learning_rate=0.001,
        biases=False,
        l2=0.0,
        non_negative=False,
        validation_fraction=0.1,
    )
    again = await client.train(
        "movies",
        dataset="movielens-100k",
        rating=Keras(epochs=3),
        promote_to_alias="candidate",
        request_id=job.info.request_id,
    )
    assert again.job_id == job.job_id
    with pytest.raises(errors.AlreadyExistsError):
        await client.train("movies", dataset="movielens-1m", request_id=job.info.request_id)

    held = registry.jobs.claim("test", LEASE)
    assert held is not None
    watching = asyncio.create_task(listed(job.watch()))
    registry.jobs.record(held, [Progress("RATING_FIT", n, 3, {"loss": 1 / n}) for n in (1, 2, 3)])
    registry.jobs.fail(held, "TRAINING_DIVERGED", "The loss is not finite.", retry=False)
    assert [p.epoch for p in await watching if p.epoch] == [1, 2, 3]
    with pytest.raises(errors.TrainingFailedError, match="not finite") as caught:
        await job.result(timeout=30)
    assert caught.value.reason == "TRAINING_DIVERGED"
    assert [j.job_id for j in await listed(client.list_jobs(model="movies", states=["failed"]))] == [
        job.job_id
    ]


async def test_a_job_is_cancelled(client: Any) -> None:
    job = await client.train("movies", dataset="movielens-100k", rating=Als(), split=NoSplit())
    assert (await job.cancel()).state is JobState.CANCELLED
    with pytest.raises(errors.TrainingCancelledError):
        await job.result(timeout=30)
    assert (await client.cancel_job(job.job_id)).state is JobState.CANCELLED


async def test_a_frame_is_uploaded_and_queued(client: Any, registry: Registry, home: Path) -> None:
    frame = pd.DataFrame(
        {"who": ["a", "b"] * 6000, "what": range(12_000), "stars": [4.5, math.nan] * 6000, "name": "Été"}
    )
    columns = {"user_column": "who", "item_column": "what", "rating_column": "stars", "title_column": "name"}
    job = await client.train("fresh", dataset=frame, request_id="once", **columns)
    again = await client.train("fresh", dataset=frame, request_id="once", **columns)
    assert again.job_id == job.job_id
    table = pq.read_table(registry.uploads.path(job.info.dataset.source.upload_id))
    assert table.num_rows == 12_000
    with pytest.raises(errors.AlreadyExistsError):
        await client.upload_dataset(frame[::-1], request_id="once", **columns)


@pytest.mark.parametrize("wrong", ["", "x" * 257])
async def test_a_bad_id_of_a_stream_is_named_by_its_place(client: Any, wrong: str) -> None:
    users = (wrong if n == 3000 else f"u{n % 300}" for n in range(5000))
    with pytest.raises(errors.InvalidArgumentError) as caught:
        await listed(client.stream_recommend("movies", users))
    assert [violation.field for violation in caught.value.field_violations] == ["user_ids[3000]"]
    assert str(caught.value) == "user_ids[3000]: An id has 1 to 256 bytes."
    assert caught.value.metadata == {}


async def test_what_is_wrong_for_all_users_of_a_stream_is_named_as_an_argument(client: Any) -> None:
    for users in (["1"], []):
        with pytest.raises(errors.InvalidArgumentError) as caught:
            await listed(client.stream_recommend("movies", users, exclude_item_ids=["1", ""]))
        assert str(caught.value) == "exclude_item_ids[1]: An id has 1 to 256 bytes."


async def test_a_stream_of_no_users_is_asked_for_all_the_same(client: Any) -> None:
    stream = client.stream_recommend("movies", [])
    assert (await stream.to_pandas()).empty
    assert stream.served_version.version == 1
    with pytest.raises(errors.NotFoundError) as caught:
        await listed(client.stream_recommend("nothing", []))
    assert caught.value.reason == "MODEL_NOT_FOUND"


@pytest.mark.parametrize(
    ("call", "error", "reason"),
    [
        (lambda c: c.recommend("nothing", "1"), errors.NotFoundError, "MODEL_NOT_FOUND"),
        (lambda c: c.recommend("movies", "1", version=9), errors.NotFoundError, "VERSION_NOT_FOUND"),
        (lambda c: c.recommend("movies", "1", alias="canary"), errors.NotFoundError, "ALIAS_NOT_FOUND"),
        (lambda c: c.recommend("movies", "1", limit=0), errors.InvalidArgumentError, "INVALID_FIELD"),
        (lambda c: c.recommend("movies", ""), errors.InvalidArgumentError, "INVALID_FIELD"),
        (lambda c: c.recommend("movies", history={}), errors.InvalidArgumentError, "INVALID_FIELD"),
        (lambda c: c.batch_predict_ratings("movies", []), errors.InvalidArgumentError, "INVALID_FIELD"),
        (
            lambda c: listed(c.stream_recommend("movies", ["1", ""])),
            errors.InvalidArgumentError,
            "INVALID_FIELD",
        ),
        (
            lambda c: listed(c.stream_recommend("movies", ["1"], limit=1001)),
            errors.InvalidArgumentError,
            "INVALID_FIELD",
        ),
        (lambda c: c.get_job("nothing"), errors.NotFoundError, "JOB_NOT_FOUND"),
        (lambda c: c.get_artifact("movies", "nothing"), errors.NotFoundError, "ARTIFACT_NOT_FOUND"),
        (lambda c: c.train("movies", dataset="nothing"), errors.InvalidArgumentError, "INVALID_FIELD"),
        (
            lambda c: c.train("movies", dataset="/etc/passwd.csv"),
            errors.PermissionDeniedError,
            "PATH_NOT_ALLOWED",
        ),
        (lambda c: listed(c.list_models(page_size=5000)), errors.InvalidArgumentError, "INVALID_FIELD"),
    ],
)
async def test_what_is_wrong_is_said(
    client: Any, call: Any, error: type[errors.MfserveError], reason: str
) -> None:
    with pytest.raises(error) as caught:
        await call(client)
    assert caught.value.reason == reason
    if error is errors.InvalidArgumentError:
        assert caught.value.field_violations
