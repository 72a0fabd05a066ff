"""Training jobs and uploads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mfserve._types.enums import JobState, TrainingStage
from mfserve._types.spec import Dataset, PromotionGates, TrainingSpec

__all__ = ["JobInfo", "JobUpdate", "Progress", "Promotion", "TrainingFailure", "Upload"]


@dataclass(frozen=True, slots=True)
class Progress:
    """One step of a job: the start of a stage, or an epoch that has passed."""

    sequence: int
    """Counts the steps of a job from 1, over all attempts."""
    attempt: int
    """The attempt that reported it. Those that a trainer gave back count too, unlike in ``JobInfo.attempt``."""
    stage: TrainingStage
    epoch: int
    """Epochs (or sweeps, or trials) of the stage that have passed; 0 at its start."""
    epoch_count: int
    """Epochs of the stage in all; 0 where the stage has none."""
    metrics: Mapping[str, float]
    """What was measured in the epoch, such as ``loss``."""
    remaining_seconds: float | None
    """Estimated time to the end of the job; ``None`` where it cannot be estimated."""
    time: datetime | None


@dataclass(frozen=True, slots=True)
class TrainingFailure:
    """Why a job failed."""

    reason: str
    """Name of a value of ``mfserve.v1.ErrorReason`` without its prefix."""
    message: str


@dataclass(frozen=True, slots=True)
class Promotion:
    """What became of the alias that a training was to move."""

    alias: str
    promoted: bool
    reason: str
    """Why it was not moved: the gates that failed, or that somebody else changed it meanwhile. Empty where it was."""


@dataclass(frozen=True, slots=True)
class JobInfo:
    """Everything that the server tells about a job."""

    job_id: str
    model: str
    dataset: Dataset
    """Every default filled in."""
    spec: TrainingSpec
    """Every default filled in."""
    promote_to_alias: str | None
    request_id: str
    state: JobState
    cancel_requested: bool
    attempt: int
    """Attempts begun so far, without those that a trainer gave back because it was shut down."""
    max_attempts: int
    """The job fails after so many attempts whose trainer vanished."""
    create_time: datetime | None
    start_time: datetime | None
    """When the current attempt began."""
    end_time: datetime | None
    progress: Progress | None
    """The latest progress."""
    version: int | None
    """The version that was published; ``None`` unless SUCCEEDED."""
    error: TrainingFailure | None
    """``None`` unless FAILED."""
    gates: PromotionGates
    """Every default filled in."""
    promotion: Promotion | None
    """``None`` unless SUCCEEDED, and where no alias was to be moved."""


@dataclass(frozen=True, slots=True)
class JobUpdate:
    """A job that has changed, and all progress since the update before."""

    job: JobInfo
    progress: tuple[Progress, ...]


@dataclass(frozen=True, slots=True)
class Upload:
    """Ratings that the server has stored."""

    upload_id: str
    rows: int
    size_bytes: int
    sha256: str
    """Of columns and rows, however they were cut into batches; 64 hexadecimal digits."""
