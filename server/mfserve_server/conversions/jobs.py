"""Training jobs and their progress, as messages."""

from __future__ import annotations

from collections.abc import Sequence

from mfserve.v1 import training_service_pb2 as pb
from mfserve_registry.errors import FailedPrecondition, InvalidArgument
from mfserve_registry.gates import Promotion
from mfserve_registry.jobs import Job, JobState, Progress
from mfserve_server.conversions.specs import dataset_message, gates_message, training_spec_message
from mfserve_server.conversions.times import duration, timestamp

# A stage that only a newer trainer knows is sent as unspecified.
_STAGES = {name.removeprefix("TRAINING_STAGE_"): number for name, number in pb.TrainingStage.items()}
_STATES = {
    number: JobState[name.removeprefix("TRAINING_JOB_STATE_")]
    for name, number in pb.TrainingJobState.items()
    if number != pb.TRAINING_JOB_STATE_UNSPECIFIED
}


def job_message(job: Job, latest: Progress | None) -> pb.TrainingJob:
    """``latest`` is the last progress that was recorded, or None."""
    message = pb.TrainingJob(
        job_id=job.job_id,
        model=job.model,
        request_id=job.request_id,
        state=pb.TrainingJobState.Value(f"TRAINING_JOB_STATE_{job.state.name}"),
        cancel_requested=job.cancel_requested,
        attempt=job.attempts_used,
        max_attempts=job.attempts_used + job.attempts_left,
        create_time=timestamp(job.created_at),
        start_time=timestamp(job.started_at),
        end_time=timestamp(job.finished_at),
        progress=None if latest is None else progress_message(latest),
        version=job.version,
        promote_to_alias=job.body.get("promote_to_alias"),
        promotion=None if job.promotion is None else _promotion_message(job.promotion),
    )
    try:
        request = job.request
    except FailedPrecondition:
        pass  # a newer release wrote it; its state is still worth telling
    else:
        message.dataset.CopyFrom(dataset_message(request.dataset))
        message.spec.CopyFrom(training_spec_message(request.spec))
        message.gates.CopyFrom(gates_message(request.gates))
    if job.state is JobState.FAILED:
        message.error.CopyFrom(
            pb.TrainingError(reason=job.error_reason or "", message=job.error_message or "")
        )
    return message


def _promotion_message(promotion: Promotion) -> pb.Promotion:
    return pb.Promotion(alias=promotion.alias, promoted=promotion.promoted, reason=promotion.reason)


def progress_message(progress: Progress) -> pb.TrainingProgress:
    return pb.TrainingProgress(
        sequence=progress.sequence,
        attempt=progress.attempt,
        stage=_STAGES.get(progress.stage.upper(), pb.TRAINING_STAGE_UNSPECIFIED),
        epoch=progress.epoch,
        epoch_count=progress.epochs,
        metrics=dict(progress.metrics),
        remaining=duration(progress.remaining_seconds),
        time=timestamp(progress.at),
    )


def job_states(numbers: Sequence[pb.TrainingJobState.ValueType]) -> list[JobState]:
    """InvalidArgument where a number is no state that a job can be in."""
    for position, number in enumerate(numbers):
        if number not in _STATES:
            raise InvalidArgument(f"There is no job state of number {number}.", field=f"states[{position}]")
    return [_STATES[number] for number in numbers]
