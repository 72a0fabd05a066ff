"""Jobs: what a training asks for, following it, and how it may end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from mfserve import Als, Head, Ials, NoSplit, PromotionGates, Tuning, errors
from mfserve.types import (
    BuiltinDataset,
    Dataset,
    FileDataset,
    JobState,
    Promotion,
    RatingScale,
    TrainingSpec,
    TrainingStage,
    Upload,
    UploadedDataset,
)
from mfserve.v1 import model_service_pb2 as model
from mfserve.v1 import training_service_pb2 as pb
from tests.client.conftest import Connect, Serve
from tests.client.services import fail
from tests.client.twins import listed


def job(
    state: pb.TrainingJobState.ValueType = pb.TRAINING_JOB_STATE_PENDING, **fields: Any
) -> pb.TrainingJob:
    return pb.TrainingJob(job_id="j1", model="movies", state=state, **fields)


def epoch(sequence: int) -> pb.TrainingProgress:
    return pb.TrainingProgress(
        sequence=sequence,
        attempt=1,
        stage=pb.TRAINING_STAGE_RATING_FIT,
        epoch=sequence,
        epoch_count=10,
        metrics={"mse": 0.25, "loss": 1.0 / sequence, "mae": 0.5},
    )


def watch(*batches: list[int], end: pb.TrainingJob | None = None) -> Any:
    """WatchTrainingJob of a job with such progress, which breaks off after the last batch where it has no end."""

    def behaviour(request: pb.WatchTrainingJobRequest, context: Any) -> Iterator[Any]:
        running = job(pb.TRAINING_JOB_STATE_RUNNING)
        for batch in batches:
            new = [epoch(n) for n in batch if n > request.after_sequence]
            yield pb.WatchTrainingJobResponse(job=running, progress=new)
        if end is None:
            fail(context, grpc.StatusCode.UNAVAILABLE)
        yield pb.WatchTrainingJobResponse(job=end)

    return behaviour


SUCCEEDED = job(pb.TRAINING_JOB_STATE_SUCCEEDED, version=7)


@pytest.mark.parametrize(
    ("dataset", "columns", "source"),
    [
        ("movielens-100k", {}, BuiltinDataset("movielens-100k")),
        ("nothing-of-the-kind", {}, BuiltinDataset("nothing-of-the-kind")),
        ("ratings.csv", {}, FileDataset("ratings.csv")),
        ("folder/ratings", {}, FileDataset("folder/ratings")),
        ("C:\\ratings", {}, FileDataset("C:\\ratings")),
        (Path("ratings"), {}, FileDataset("ratings")),
        (
            "r.tsv",
            {"user_column": "u", "title_column": "t"},
            FileDataset("r.tsv", user_column="u", title_column="t"),
        ),
        (FileDataset("ratings", "parquet"), {}, FileDataset("ratings", "parquet")),
        (Upload("up", 3, 100, "e" * 64), {}, UploadedDataset("up")),
        (UploadedDataset("up"), {}, UploadedDataset("up")),
    ],
)
async def test_what_a_data_set_may_be(
    serve: Serve, connect: Connect, dataset: Any, columns: dict[str, str], source: Any
) -> None:
    def train(request: pb.TrainRequest, context: Any) -> Any:
        return pb.TrainResponse(job=job(dataset=request.dataset, spec=request.spec))

    client = connect(serve(Train=train).address)
    queued = await client.train(
        "movies",
        dataset=dataset,
        **columns,
        bad_rows="skip",
        duplicates="mean",
        scale=(0.5, 5),
        rating=Als(factors=8),
        ranking=Ials(iterations=3),
        split=NoSplit(),
        refit=False,
        seed=9,
        tuning=Tuning(trials=5, head="rating"),
    )
    assert queued.info.dataset == Dataset(source, "skip", "mean", RatingScale(0.5, 5.0))
    assert queued.info.spec == TrainingSpec(
        rating=Als(factors=8),
        ranking=Ials(iterations=3),
        split=NoSplit(),
        refit=False,
        seed=9,
        tuning=Tuning(trials=5, head=Head.RATING),
    )
    assert (queued.job_id, queued.model, queued.state, queued.version) == (
        "j1",
        "movies",
        JobState.PENDING,
        None,
    )


@pytest.mark.parametrize(
    ("dataset", "columns"),
    [
        (3, {}),
        (None, {}),
        ([("1", "2", 3.0)], {}),
        ("movielens-100k", {"user_column": "u"}),
        (UploadedDataset("up"), {"user_column": "u"}),
    ],
)
async def test_what_no_data_set_may_be(
    serve: Serve, connect: Connect, dataset: Any, columns: dict[str, str]
) -> None:
    server = serve(Train=lambda request, context: pb.TrainResponse())
    with pytest.raises(TypeError):
        await connect(server.address).train("movies", dataset=dataset, **columns)
    assert server.calls == []


async def test_every_epoch_once_over_broken_connections(serve: Serve, connect: Connect) -> None:
    after: list[int] = []
    turns = iter(
        [
            watch([1, 2], []),
            watch(),
            watch([3]),
            watch([3, 4], [], [5, 6], end=SUCCEEDED),
        ]
    )

    def behaviour(request: pb.WatchTrainingJobRequest, context: Any) -> Any:
        after.append(request.after_sequence)
        return next(turns)(request, context)

    client = connect(
        serve(
            WatchTrainingJob=behaviour, GetTrainingJob=lambda r, c: pb.GetTrainingJobResponse(job=job())
        ).address
    )
    handle = await client.get_job("j1")
    progress = await listed(handle.watch())
    assert [p.sequence for p in progress] == [1, 2, 3, 4, 5, 6]
    assert after == [0, 2, 2, 3]
    assert progress[1].stage is TrainingStage.RATING_FIT
    assert list(progress[1].metrics.items()) == [("loss", 0.5), ("mae", 0.5), ("mse", 0.25)]
    assert progress[1].remaining_seconds is None
    assert handle.state is JobState.SUCCEEDED
    assert handle.version == 7


async def test_a_watch_gives_changes_without_progress_too(serve: Serve, connect: Connect) -> None:
    client = connect(serve(WatchTrainingJob=watch([], [1], end=SUCCEEDED)).address)
    updates = await listed(client.watch_job("j1"))
    assert [(u.job.state.value, len(u.progress)) for u in updates] == [
        ("RUNNING", 0),
        ("RUNNING", 1),
        ("SUCCEEDED", 0),
    ]


async def test_a_watch_survives_a_restart_of_the_server(serve: Serve, connect: Connect) -> None:
    go_on = threading.Event()

    def behaviour(request: pb.WatchTrainingJobRequest, context: Any) -> Iterator[Any]:
        if request.after_sequence == 0:
            yield pb.WatchTrainingJobResponse(job=job(pb.TRAINING_JOB_STATE_RUNNING), progress=[epoch(1)])
            context.add_callback(go_on.set)
            go_on.wait()
        else:
            yield pb.WatchTrainingJobResponse(job=SUCCEEDED, progress=[epoch(2)])

    server = serve(WatchTrainingJob=behaviour)
    sequences = []
    async for update in connect(server.address).watch_job("j1"):
        sequences += [p.sequence for p in update.progress]
        if sequences == [1]:
            await asyncio.to_thread(server.restart)
    assert sequences == [1, 2]


async def finished(serve: Serve, connect: Connect, end: pb.TrainingJob) -> Any:
    def version(request: model.GetModelVersionRequest, context: Any) -> Any:
        assert request.model_spec.model == "movies"
        found = model.ModelVersion()
        found.served_version.version = request.model_spec.version
        return model.GetModelVersionResponse(version=found)

    server = serve(
        Train=lambda request, context: pb.TrainResponse(job=job()),
        WatchTrainingJob=watch([1], end=end),
        GetModelVersion=version,
    )
    handle = await connect(server.address).train("movies", dataset="movielens-100k")
    return await handle.result(timeout=60)


async def test_result_is_the_version(serve: Serve, connect: Connect) -> None:
    assert (await finished(serve, connect, SUCCEEDED)).version == 7


async def test_result_of_a_failed_training(serve: Serve, connect: Connect) -> None:
    error = pb.TrainingError(reason="DATASET_INVALID", message="ratings.csv, line 3: no number")
    with pytest.raises(errors.TrainingFailedError, match=r"ratings\.csv, line 3") as caught:
        await finished(serve, connect, job(pb.TRAINING_JOB_STATE_FAILED, error=error))
    assert (caught.value.reason, caught.value.job_id) == ("DATASET_INVALID", "j1")


async def test_result_of_a_cancelled_training(serve: Serve, connect: Connect) -> None:
    with pytest.raises(errors.TrainingCancelledError, match="j1 was cancelled"):
        await finished(serve, connect, job(pb.TRAINING_JOB_STATE_CANCELLED))


async def test_result_in_time(serve: Serve, connect: Connect) -> None:
    def for_ever(request: Any, context: Any) -> Iterator[Any]:
        ended = threading.Event()
        context.add_callback(ended.set)
        yield pb.WatchTrainingJobResponse(job=job(pb.TRAINING_JOB_STATE_RUNNING))
        ended.wait()

    server = serve(
        WatchTrainingJob=for_ever,
        GetTrainingJob=lambda request, context: pb.GetTrainingJobResponse(job=job()),
    )
    handle = await connect(server.address).get_job("j1")
    with pytest.raises(TimeoutError, match=r"did not end within 0\.2 s"):
        await handle.result(timeout=0.2)
    assert handle.state is JobState.RUNNING


async def test_refresh_and_cancel_change_the_handle(serve: Serve, connect: Connect) -> None:
    running = job(pb.TRAINING_JOB_STATE_RUNNING, cancel_requested=True, progress=epoch(4))
    server = serve(
        Train=lambda request, context: pb.TrainResponse(job=job()),
        CancelTrainingJob=lambda request, context: pb.CancelTrainingJobResponse(job=running),
        GetTrainingJob=lambda request, context: pb.GetTrainingJobResponse(
            job=job(pb.TRAINING_JOB_STATE_CANCELLED)
        ),
    )
    handle = await connect(server.address).train("movies", dataset="movielens-100k")
    await handle.cancel()
    assert handle.info.cancel_requested
    assert handle.info.progress.sequence == 4
    assert (await handle.refresh()).state is JobState.CANCELLED


async def test_jobs_page_by_page(serve: Serve, connect: Connect) -> None:
    seen: list[pb.ListTrainingJobsRequest] = []

    def page(request: pb.ListTrainingJobsRequest, context: Any) -> Any:
        seen.append(request)
        number = int(request.page_token or 0)
        return pb.ListTrainingJobsResponse(
            jobs=[job()] * 2, next_page_token=str(number + 1) if number < 2 else ""
        )

    client = connect(serve(ListTrainingJobs=page).address)
    read = 0
    async for handle in client.list_jobs(model="movies", states=["failed", JobState.RUNNING], page_size=2):
        read += 1
        assert handle.job_id == "j1"
        assert len(seen) == (read + 1) // 2
    assert read == 6
    assert [request.page_token for request in seen] == ["", "1", "2"]
    assert all(
        list(r.states) == [pb.TRAINING_JOB_STATE_FAILED, pb.TRAINING_JOB_STATE_RUNNING]
        and (r.model, r.page_size) == ("movies", 2)
        for r in seen
    )


async def test_bounds_of_gates_are_sent_and_what_became_of_the_alias_is_told(
    serve: Serve, connect: Connect
) -> None:
    seen: list[pb.TrainRequest] = []

    def train(request: pb.TrainRequest, context: Any) -> Any:
        seen.append(request)
        told = pb.Promotion(alias="production", reason="RATING_ERROR failed.")
        gates = pb.PromotionGates(off=True, max_rmse_increase=0, max_norm_factor=3)
        return pb.TrainResponse(job=job(version=7, gates=gates, promotion=told))

    client = connect(serve(Train=train).address)
    gates = PromotionGates(max_rmse_increase=0, min_overlap=0.5)
    queued = await client.train(
        "movies", dataset="movielens-100k", promote_to_alias="production", gates=gates
    )
    assert queued.info.gates == PromotionGates(off=True, max_rmse_increase=0, max_norm_factor=3)
    assert queued.info.promotion == Promotion("production", False, "RATING_ERROR failed.")
    assert seen[0].gates == pb.PromotionGates(max_rmse_increase=0, min_overlap=0.5)
    await client.train("movies", dataset="movielens-100k")
    assert not seen[1].HasField("gates")


async def test_a_bound_that_is_no_number_is_named(serve: Serve, connect: Connect) -> None:
    client = connect(serve().address)
    wrong: Any = "much"
    with pytest.raises(TypeError, match=r"^gates: max_rmse_increase must be a number"):
        await client.train("movies", dataset="movielens-100k", gates=PromotionGates(max_rmse_increase=wrong))
