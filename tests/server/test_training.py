"""TrainingService: queueing, following, cancelling; the trainer's part is played through the registry."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from mfserve.v1 import training_service_pb2 as pb
from mfserve.v1 import training_spec_pb2 as spec_pb
from mfserve.v1.common_pb2 import HEAD_RATING
from mfserve_registry import Progress, Registry
from tests.server.calls import Server, failure
from tests.server.conftest import MakeServer
from tests.server.samples import LEASE, claim, publish


def train_request(**fields: Any) -> pb.TrainRequest:
    whole: dict[str, Any] = {
        "model": "movies",
        "dataset": spec_pb.Dataset(builtin=spec_pb.BuiltinDataset(name="movielens-100k")),
        "request_id": "request-1",
    }
    return pb.TrainRequest(**(whole | fields))


IMPLICIT = spec_pb.Dataset(builtin=spec_pb.BuiltinDataset(name="movielens-100k"), implicit=True)


def file_dataset(path: str) -> spec_pb.Dataset:
    return spec_pb.Dataset(file=spec_pb.FileDataset(path=path))


async def test_train_queues_a_job_that_shows_its_defaults(server: Server, registry: Registry) -> None:
    request = train_request(
        spec=spec_pb.TrainingSpec(keras=spec_pb.KerasConfig(epochs=3)),
        promote_to_alias="candidate",
    )
    job = (await server.trainings.Train(request)).job
    assert job.state == pb.TRAINING_JOB_STATE_PENDING
    assert (job.model, job.request_id, job.promote_to_alias) == ("movies", "request-1", "candidate")
    assert (job.spec.keras.epochs, job.spec.keras.batch_size, job.spec.ials.factors) == (3, 32, 48)
    assert job.dataset.builtin.name == "movielens-100k"
    assert (job.attempt, job.max_attempts) == (0, 3)
    assert not any(
        job.HasField(field) for field in ("version", "start_time", "end_time", "progress", "error")
    )
    assert registry.jobs.get(job.job_id).body["spec"]["rating"]["epochs"] == 3


async def test_the_same_request_is_the_same_job_and_another_body_is_refused(server: Server) -> None:
    first = (await server.trainings.Train(train_request())).job
    assert (await server.trainings.Train(train_request())).job.job_id == first.job_id
    found = await failure(server.trainings.Train(train_request(spec=spec_pb.TrainingSpec(seed=1))))
    assert (found.code, found.reason) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")
    assert found.metadata["request_id"] == "request-1"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"model": ""}, "model"),
        ({"model": "Movies"}, "model"),
        ({"model": "a" * 64}, "model"),
        ({"request_id": ""}, "request_id"),
        ({"request_id": "with space"}, "request_id"),
        ({"promote_to_alias": ""}, "promote_to_alias"),
        ({"dataset": spec_pb.Dataset()}, "dataset.source"),
        (
            {"dataset": spec_pb.Dataset(builtin=spec_pb.BuiltinDataset(name="netflix"))},
            "dataset.builtin.name",
        ),
        (
            {"spec": spec_pb.TrainingSpec(als=spec_pb.AlsConfig(factors=0))},
            "spec.als.factors",
        ),
        *(
            ({"dataset": IMPLICIT, "spec": spec}, field)
            for field, spec in {
                "spec.bayes": spec_pb.TrainingSpec(bayes=spec_pb.BayesConfig()),
                "spec.als": spec_pb.TrainingSpec(als=spec_pb.AlsConfig()),
                "spec.keras": spec_pb.TrainingSpec(keras=spec_pb.KerasConfig()),
                "spec.no_ranking": spec_pb.TrainingSpec(no_ranking=spec_pb.NoRanking()),
                "spec.tuning.head": spec_pb.TrainingSpec(tuning=spec_pb.TuningConfig(head=HEAD_RATING)),
            }.items()
        ),
    ],
)
async def test_a_wrong_field_is_named(fields: dict[str, Any], field: str, server: Server) -> None:
    found = await failure(server.trainings.Train(train_request(**fields)))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert found.fields == [field]


async def test_latest_cannot_be_promoted_to(server: Server) -> None:
    found = await failure(server.trainings.Train(train_request(promote_to_alias="latest")))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ALIAS_RESERVED")


async def test_an_unknown_upload_is_not_found(server: Server) -> None:
    dataset = spec_pb.Dataset(upload=spec_pb.UploadedDataset(upload_id="nothing"))
    found = await failure(server.trainings.Train(train_request(dataset=dataset)))
    assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "UPLOAD_NOT_FOUND")
    assert found.metadata["upload_id"] == "nothing"


@pytest.mark.parametrize("path", ["/etc/passwd", "../outside.csv", "link.csv", "sub/../../outside.csv"])
async def test_a_file_outside_the_data_roots_is_refused(path: str, serve: MakeServer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (tmp_path / "outside.csv").write_text("user_id,item_id,rating\n")
    (root / "link.csv").symlink_to(tmp_path / "outside.csv")
    server = await serve(data_roots=(root,))
    found = await failure(server.trainings.Train(train_request(dataset=file_dataset(path))))
    assert (found.code, found.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PATH_NOT_ALLOWED")
    assert found.fields == ["dataset.file.path"]
    assert found.metadata == {"path": path}


async def test_without_data_roots_no_file_is_allowed(server: Server, tmp_path: Path) -> None:
    found = await failure(server.trainings.Train(train_request(dataset=file_dataset(str(tmp_path)))))
    assert found.reason == "PATH_NOT_ALLOWED"


async def test_a_file_under_a_data_root_is_found_or_missed(serve: MakeServer, tmp_path: Path) -> None:
    (tmp_path / "ratings.csv").write_text("user_id,item_id,rating\n")
    server = await serve(data_roots=(tmp_path,))
    assert (await server.trainings.Train(train_request(dataset=file_dataset("ratings.csv")))).job.job_id
    found = await failure(
        server.trainings.Train(train_request(dataset=file_dataset("other.csv"), request_id="2"))
    )
    assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "FILE_NOT_FOUND")
    assert found.metadata == {"path": "other.csv"}
    (tmp_path / "folder.csv").mkdir()
    found = await failure(
        server.trainings.Train(train_request(dataset=file_dataset("folder.csv"), request_id="3"))
    )
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DATASET_INVALID")
    assert found.fields == ["dataset.file.path"]


@pytest.mark.parametrize("method", ["GetTrainingJob", "CancelTrainingJob", "WatchTrainingJob"])
async def test_an_unknown_job_is_not_found_and_none_is_a_mistake(method: str, server: Server) -> None:
    request = getattr(pb, f"{method}Request")
    found = await failure(getattr(server.trainings, method)(request(job_id="nothing")))
    assert (found.code, found.reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
    assert found.metadata == {"job_id": "nothing"}
    found = await failure(getattr(server.trainings, method)(request()))
    assert (found.reason, found.fields) == ("INVALID_FIELD", ["job_id"])


async def test_jobs_are_listed_in_pages_the_newest_first(server: Server) -> None:
    ids = [
        (await server.trainings.Train(train_request(request_id=str(n), model=f"m{n % 2}"))).job.job_id
        for n in range(5)
    ]
    await server.trainings.CancelTrainingJob(pb.CancelTrainingJobRequest(job_id=ids[0]))
    first = await server.trainings.ListTrainingJobs(pb.ListTrainingJobsRequest(page_size=3))
    rest = await server.trainings.ListTrainingJobs(
        pb.ListTrainingJobsRequest(page_size=3, page_token=first.next_page_token)
    )
    assert [job.job_id for job in [*first.jobs, *rest.jobs]] == ids[::-1]
    assert rest.next_page_token == ""
    of_model = await server.trainings.ListTrainingJobs(pb.ListTrainingJobsRequest(model="m1"))
    assert [job.job_id for job in of_model.jobs] == [ids[3], ids[1]]
    cancelled = await server.trainings.ListTrainingJobs(
        pb.ListTrainingJobsRequest(states=[pb.TRAINING_JOB_STATE_CANCELLED])
    )
    assert [job.job_id for job in cancelled.jobs] == [ids[0]]


@pytest.mark.parametrize(
    ("request_", "reason", "field"),
    [
        (pb.ListTrainingJobsRequest(page_size=-1), "INVALID_FIELD", "page_size"),
        (pb.ListTrainingJobsRequest(page_size=1001), "INVALID_FIELD", "page_size"),
        (pb.ListTrainingJobsRequest(page_token="x"), "PAGE_TOKEN_INVALID", "page_token"),
        (
            pb.ListTrainingJobsRequest(states=[pb.TRAINING_JOB_STATE_UNSPECIFIED]),
            "INVALID_FIELD",
            "states[0]",
        ),
        (pb.ListTrainingJobsRequest.FromString(b"\x12\x02\x01\x63"), "INVALID_FIELD", "states[1]"),
        (pb.ListTrainingJobsRequest(model="NO"), "INVALID_FIELD", "model"),
    ],
)
async def test_a_bad_list_request_names_the_field(
    request_: pb.ListTrainingJobsRequest, reason: str, field: str, server: Server
) -> None:
    found = await failure(server.trainings.ListTrainingJobs(request_))
    assert (found.code, found.reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
    assert found.fields == [field]


async def test_cancel_may_be_repeated_and_comes_too_late_after_the_end(
    server: Server, registry: Registry
) -> None:
    waiting = (await server.trainings.Train(train_request())).job.job_id
    for _ in range(2):
        response = await server.trainings.CancelTrainingJob(pb.CancelTrainingJobRequest(job_id=waiting))
        assert response.job.state == pb.TRAINING_JOB_STATE_CANCELLED
    running = claim(registry)
    for _ in range(2):
        response = await server.trainings.CancelTrainingJob(
            pb.CancelTrainingJobRequest(job_id=running.job_id)
        )
        assert response.job.state == pb.TRAINING_JOB_STATE_RUNNING
        assert response.job.cancel_requested
    done = publish(registry, "others").job_id
    assert done is not None
    found = await failure(server.trainings.CancelTrainingJob(pb.CancelTrainingJobRequest(job_id=done)))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "JOB_FINISHED")
    assert found.metadata == {"job_id": done, "state": "SUCCEEDED"}


async def test_an_attempt_that_is_given_back_does_not_count(server: Server, registry: Registry) -> None:
    async def attempts() -> tuple[int, int]:
        response = await server.trainings.GetTrainingJob(pb.GetTrainingJobRequest(job_id=held.job_id))
        return response.job.attempt, response.job.max_attempts

    held = claim(registry)
    assert await attempts() == (1, 3)
    registry.jobs.release(held)
    assert await attempts() == (0, 3)
    again = registry.jobs.claim("test", LEASE)
    assert again is not None
    assert await attempts() == (1, 3)
    registry.jobs.fail(again, "TRAINER_DIED", "Killed.", retry=True)
    assert registry.jobs.claim("test", LEASE) is not None
    assert await attempts() == (2, 3)


async def test_a_failed_job_says_why(server: Server, registry: Registry) -> None:
    held = claim(registry)
    registry.jobs.fail(
        held, "DATASET_INVALID", "ratings.csv, line 7: the rating is not a number.", retry=False
    )
    job = (await server.trainings.GetTrainingJob(pb.GetTrainingJobRequest(job_id=held.job_id))).job
    assert job.state == pb.TRAINING_JOB_STATE_FAILED
    assert (job.error.reason, job.error.message[:19]) == ("DATASET_INVALID", "ratings.csv, line 7")
    assert job.HasField("end_time")


async def test_every_step_is_watched_once_and_the_end_ends_it(server: Server, registry: Registry) -> None:
    job_id = (await server.trainings.Train(train_request())).job.job_id
    watch = server.trainings.WatchTrainingJob(pb.WatchTrainingJobRequest(job_id=job_id))
    seen = [await asyncio.wait_for(watch.read(), 10)]
    assert seen[0].job.state == pb.TRAINING_JOB_STATE_PENDING
    held = registry.jobs.claim("test", LEASE)
    assert held is not None
    for epoch in range(1, 6):
        registry.jobs.record(
            held, [Progress("RATING_FIT", epoch, 5, {"loss": 1 / epoch}, remaining_seconds=2.5)] * 2
        )
    registry.jobs.fail(held, "TRAINING_DIVERGED", "It diverged.", retry=False)
    while (response := await asyncio.wait_for(watch.read(), 10)) != grpc.aio.EOF:
        seen.append(response)
    steps = [step for response in seen for step in response.progress]
    assert [step.sequence for step in steps] == list(range(1, 11))
    assert (steps[-1].epoch, steps[-1].epoch_count, steps[-1].metrics["loss"]) == (5, 5, 0.2)
    assert steps[-1].stage == pb.TRAINING_STAGE_RATING_FIT
    assert steps[-1].remaining.ToTimedelta() == timedelta(seconds=2.5)
    assert seen[-1].job.state == pb.TRAINING_JOB_STATE_FAILED
    again = server.trainings.WatchTrainingJob(pb.WatchTrainingJobRequest(job_id=job_id, after_sequence=8))
    assert [[step.sequence for step in response.progress] async for response in again] == [[9, 10]]
    job = (await server.trainings.GetTrainingJob(pb.GetTrainingJobRequest(job_id=job_id))).job
    assert job.progress.sequence == 10


async def test_much_progress_comes_in_messages_that_are_not_too_large(
    server: Server, registry: Registry
) -> None:
    held = claim(registry)
    registry.jobs.record(held, [Progress("RATING_FIT", 1, 5, {"loss": 0.5})] * 2500)
    registry.jobs.fail(held, "TRAINING_DIVERGED", "It diverged.", retry=False)
    watch = server.trainings.WatchTrainingJob(pb.WatchTrainingJobRequest(job_id=held.job_id))
    assert [len(response.progress) async for response in watch] == [1000, 1000, 500]


async def test_a_watch_from_below_zero_is_a_mistake(server: Server) -> None:
    request = pb.WatchTrainingJobRequest(job_id="job", after_sequence=-1)
    found = await failure(server.trainings.WatchTrainingJob(request))
    assert found.fields == ["after_sequence"]
