"""What a worker and its fit process say to each other: one JSON object per line.

To the fit process, on its standard input: a ``FitTask`` for each job. From it, on a pipe of its own: one ``Ready``
when it can begin, then for each task any number of ``Step`` and one ``Done`` or ``Failed``.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, TypeAdapter

from mfserve_registry.artifacts import Artifact
from mfserve_registry.errors import NotFound
from mfserve_registry.jobs import Progress
from mfserve_registry.spec import DatasetSpec, TrainingSpec
from mfserve_trainer.progress import Stage

TEMPORARY_FILES = "TMPDIR"
"""The environment variable that names the folder of a fit process's temporary files."""


class _Message(BaseModel):
    # A loss may be NaN, and its reader wants to know.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="constants")

    def line(self) -> bytes:
        """The message as it is sent."""
        return self.model_dump_json().encode() + b"\n"


class FitTask(_Message):
    """What to train, and where.

    Attributes:
        model, job_id: what the report names; the version gets its number when all is done.
        dataset, spec: as the caller asked for it.
        data_roots: folders from which a file data set may be read.
        upload: the file of an uploaded data set; None for others.
        cache: folder of downloaded data sets.
        staged: an empty folder for the snapshot that is to be served.
        scratch: an empty folder for what is only needed in between.
        log_dir: folder for TensorBoard's logs.
        studies: folder for the trials of tunings, which trainings share.
    """

    model: str
    job_id: str
    dataset: DatasetSpec
    spec: TrainingSpec
    data_roots: tuple[Path, ...]
    upload: Path | None
    cache: Path
    staged: Path
    scratch: Path
    log_dir: Path
    studies: Path

    def uploaded(self, upload_id: str) -> Path:
        """The file of the task's upload, as ``datasets.load`` asks for it."""
        if self.upload is None:
            raise NotFound(f"There is no upload {upload_id}.", reason="UPLOAD_NOT_FOUND")
        return self.upload


class Ready(_Message):
    """TensorFlow is loaded; the next task begins at once."""

    kind: Literal["ready"] = "ready"


class Step(_Message):
    """A stage has begun, or an epoch has passed."""

    kind: Literal["step"] = "step"
    stage: Stage
    epoch: int
    epochs: int
    metrics: dict[str, float]
    remaining_seconds: float | None

    @classmethod
    def of(cls, progress: Progress) -> Step:
        return cls(
            stage=Stage(progress.stage),
            epoch=progress.epoch,
            epochs=progress.epochs,
            metrics=dict(progress.metrics),
            remaining_seconds=progress.remaining_seconds,
        )

    def progress(self) -> Progress:
        return Progress(self.stage, self.epoch, self.epochs, self.metrics, self.remaining_seconds)


class File(_Message):
    """An ``Artifact``."""

    name: str
    media_type: str
    data: Base64Bytes

    @classmethod
    def of(cls, artifact: Artifact) -> File:
        # Base64Bytes takes the encoded form, as it stands in the message.
        return cls(name=artifact.name, media_type=artifact.media_type, data=base64.encodebytes(artifact.data))

    def artifact(self) -> Artifact:
        return Artifact(self.name, self.media_type, self.data)


class Done(_Message):
    """The snapshot lies in ``FitTask.staged``."""

    kind: Literal["done"] = "done"
    digest: str
    facts: dict[str, Any]
    files: list[File]


class Failed(_Message):
    """The training failed.

    Attributes:
        reason: name of an ErrorReason without its prefix.
        message: one sentence, safe to show to the caller.
        defect: something that nobody foresaw: the log has the traceback, and the process should be replaced.
    """

    kind: Literal["failed"] = "failed"
    reason: str
    message: str
    defect: bool


Answer = Annotated[Ready | Step | Done | Failed, Field(discriminator="kind")]
_ANSWER: TypeAdapter[Ready | Step | Done | Failed] = TypeAdapter(Answer)


def parse_answer(line: bytes) -> Ready | Step | Done | Failed:
    """Reads one line of a fit process; ValueError where it is none."""
    return _ANSWER.validate_json(line)
