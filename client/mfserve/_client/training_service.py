"""TrainingService: requests from arguments, answers into types, and how to follow a job."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import PurePath

from mfserve._client.arguments import built, iterator, text
from mfserve._client.calls import Paged, Unary
from mfserve._client.columns import ColumnNames, Columns
from mfserve._client.common import moment
from mfserve._client.names import JOB_STATE, TRAINING_STAGE
from mfserve._client.spec import (
    dataset_from,
    dataset_message,
    gates_from,
    gates_message,
    spec_from,
    spec_message,
)
from mfserve._types.enums import JobState
from mfserve._types.spec import (
    BuiltinDataset,
    Dataset,
    FileDataset,
    PromotionGates,
    RatingScale,
    TrainingSpec,
    UploadedDataset,
)
from mfserve._types.training import JobInfo, JobUpdate, Progress, Promotion, TrainingFailure, Upload
from mfserve.errors import TrainingCancelledError, TrainingError, TrainingFailedError
from mfserve.v1 import training_service_pb2 as pb

Source = BuiltinDataset | FileDataset | UploadedDataset
DatasetArgument = str | os.PathLike[str] | Source | Upload | Columns
"""What ``train(dataset=…)`` takes."""


def new_request_id() -> str:
    """Makes a call of a caller who chose no id safe to repeat."""
    return str(uuid.uuid4())


def source(dataset: DatasetArgument, names: dict[str, str | None]) -> Source | None:
    """Where the ratings of a ``dataset`` argument are; None: in columns that must be uploaded first.

    A text is a file where it has a separator or an ending, and else the name of a built-in data set.
    """
    if isinstance(dataset, Upload):
        dataset = UploadedDataset(dataset.upload_id)
    if isinstance(dataset, str) and not PurePath(dataset).suffix and not set(dataset) & {"/", "\\"}:
        dataset = BuiltinDataset(dataset)
    if isinstance(dataset, BuiltinDataset | FileDataset | UploadedDataset):
        if any(names.values()):
            raise TypeError(f"the columns of {dataset} cannot be named here")
        return dataset
    if isinstance(dataset, str | os.PathLike):
        return FileDataset(os.fspath(dataset), **names)  # type: ignore[arg-type]  # the keys are its column fields
    return None


def column_names(names: dict[str, str | None], *, implicit: bool) -> ColumnNames:
    """The columns of an upload, with the same defaults as those of a file; ratings are not read where ``implicit``."""
    return ColumnNames(
        names["user_column"] or "user_id",
        names["item_column"] or "item_id",
        None if implicit else names["rating_column"] or "rating",
        names["timestamp_column"],
        names["title_column"],
    )


def scale(given: RatingScale | tuple[float, float] | None) -> RatingScale | None:
    """A scale, or the two ends of one."""
    return RatingScale(*given) if isinstance(given, tuple) else given


def train(
    model: str,
    dataset: Dataset,
    spec: TrainingSpec,
    promote_to_alias: str | None,
    gates: PromotionGates | None,
    request_id: str,
) -> Unary[pb.TrainRequest, pb.TrainResponse, JobInfo]:
    """Queues a training."""
    request = built(
        pb.TrainRequest,
        model=text("model", model),
        dataset=dataset_message(dataset),
        spec=spec_message(spec),
        promote_to_alias=promote_to_alias,
        gates=None if gates is None else gates_message(gates),
        request_id=request_id,
    )
    return Unary(lambda stubs: stubs.training.Train, request, lambda response: _job(response.job))


def get_job(job_id: str) -> Unary[pb.GetTrainingJobRequest, pb.GetTrainingJobResponse, JobInfo]:
    """One job."""
    return Unary(
        lambda stubs: stubs.training.GetTrainingJob,
        built(pb.GetTrainingJobRequest, job_id=text("job_id", job_id)),
        lambda response: _job(response.job),
    )


def list_jobs(
    model: str | None, states: Iterable[JobState | str], page_size: int
) -> Paged[pb.ListTrainingJobsRequest, pb.ListTrainingJobsResponse, JobInfo]:
    """Jobs, the newest first."""
    wanted = [JOB_STATE.write(f"states[{n}]", state) for n, state in enumerate(iterator("states", states))]
    return Paged(
        lambda stubs: stubs.training.ListTrainingJobs,
        lambda token: built(
            pb.ListTrainingJobsRequest,
            model=model or "",
            states=wanted,
            page_size=page_size,
            page_token=token,
        ),
        lambda response: ([_job(j) for j in response.jobs], response.next_page_token),
    )


def cancel_job(job_id: str) -> Unary[pb.CancelTrainingJobRequest, pb.CancelTrainingJobResponse, JobInfo]:
    """Asks to end a job."""
    return Unary(
        lambda stubs: stubs.training.CancelTrainingJob,
        built(pb.CancelTrainingJobRequest, job_id=text("job_id", job_id)),
        lambda response: _job(response.job),
    )


def upload_from(message: pb.UploadDatasetResponse) -> Upload:
    """What was stored."""
    return Upload(message.upload_id, message.rows, message.size_bytes, message.sha256)


class Watch:
    """How far a job has been followed; each connection goes on where the one before ended."""

    def __init__(self, job_id: str, after_sequence: int) -> None:
        self._job_id = job_id
        self._after = after_sequence
        self.ended = False

    def request(self) -> pb.WatchTrainingJobRequest:
        """The request that goes on from here."""
        return built(pb.WatchTrainingJobRequest, job_id=self._job_id, after_sequence=self._after)

    def received(self, response: pb.WatchTrainingJobResponse) -> JobUpdate:
        """Takes one message; progress that was already given is left out."""
        progress = tuple(_progress(p) for p in response.progress if p.sequence > self._after)
        if progress:
            self._after = progress[-1].sequence
        job = _job(response.job)
        self.ended = job.state.final
        return JobUpdate(job, progress)


def version_of(job: JobInfo) -> int:
    """The version that an ended job has published; raises a TrainingError where there is none."""
    if job.version is not None:
        return job.version
    if job.state is JobState.CANCELLED:
        raise TrainingCancelledError(f"job {job.job_id} was cancelled", job_id=job.job_id)
    if job.error is not None:
        raise TrainingFailedError(job.error.message, job_id=job.job_id, reason=job.error.reason)
    raise TrainingError(f"job {job.job_id} ended without a version ({job.state})", job_id=job.job_id)


def _job(message: pb.TrainingJob) -> JobInfo:
    return JobInfo(
        job_id=message.job_id,
        model=message.model,
        dataset=dataset_from(message.dataset),
        spec=spec_from(message.spec),
        promote_to_alias=message.promote_to_alias if message.HasField("promote_to_alias") else None,
        request_id=message.request_id,
        state=JOB_STATE.read(message.state),
        cancel_requested=message.cancel_requested,
        attempt=message.attempt,
        max_attempts=message.max_attempts,
        create_time=moment(message, "create_time"),
        start_time=moment(message, "start_time"),
        end_time=moment(message, "end_time"),
        progress=_progress(message.progress) if message.HasField("progress") else None,
        version=message.version if message.HasField("version") else None,
        error=TrainingFailure(message.error.reason, message.error.message)
        if message.HasField("error")
        else None,
        gates=gates_from(message.gates),
        promotion=_promotion(message.promotion) if message.HasField("promotion") else None,
    )


def _promotion(message: pb.Promotion) -> Promotion:
    return Promotion(message.alias, message.promoted, message.reason)


def _progress(message: pb.TrainingProgress) -> Progress:
    return Progress(
        sequence=message.sequence,
        attempt=message.attempt,
        stage=TRAINING_STAGE.read(message.stage),
        epoch=message.epoch,
        epoch_count=message.epoch_count,
        metrics=dict(sorted(message.metrics.items())),  # a map of the protocol has no order
        remaining_seconds=message.remaining.ToTimedelta().total_seconds()
        if message.HasField("remaining")
        else None,
        time=moment(message, "time"),
    )
