"""What TrainingService does with jobs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path

from mfserve.v1 import training_service_pb2 as pb
from mfserve_registry import Job, JobRequest, JobState, Progress, Registry
from mfserve_registry.errors import FailedPrecondition, InvalidArgument, Unavailable
from mfserve_registry.formats import format_of
from mfserve_registry.paths import resolve_under_roots
from mfserve_registry.spec import DatasetSpec, FileDataset
from mfserve_registry.traces import Carrier
from mfserve_registry.without_ratings import lack_of_ratings
from mfserve_server.conversions.jobs import job_message, progress_message
from mfserve_server.conversions.specs import dataset_spec, promotion_gates, training_spec
from mfserve_server.executors import Executors

JobAndProgress = tuple[Job, Progress | None]
"""A job, and the last progress that was recorded."""

PROGRESS_PER_MESSAGE = 1000
"""Keeps a message far below 4 MiB."""


class TrainingDesk:
    """Takes trainings in and looks after jobs. Blocks: for an executor.

    Args:
        registry: where the jobs are.
        data_roots: folders from which trainings may read files.
    """

    def __init__(self, registry: Registry, data_roots: Sequence[Path]) -> None:
        self._registry = registry
        self._data_roots = data_roots

    def submit(self, request: pb.TrainRequest, trace: Carrier | None) -> JobAndProgress:
        """Queues a training, or finds it again.

        Args:
            trace: in which it is asked for.

        Raises:
            InvalidArgument: a field is wrong.
            FailedPrecondition: ALIAS_RESERVED.
            PermissionDenied: PATH_NOT_ALLOWED.
            NotFound: FILE_NOT_FOUND, UPLOAD_NOT_FOUND.
            AlreadyExists: REQUEST_ID_REUSED.
        """
        wanted = JobRequest(
            model=request.model,
            dataset=dataset_spec(request.dataset),
            spec=training_spec(request.spec),
            promote_to_alias=request.promote_to_alias if request.HasField("promote_to_alias") else None,
            request_id=request.request_id,
            gates=promotion_gates(request.gates),
        )
        if wanted.dataset.implicit and (lack := lack_of_ratings(wanted.spec)):
            raise InvalidArgument(f"The data set is implicit. {lack.sentence}", field=lack.field)
        self._check_file(wanted.dataset)
        job, created = self._registry.jobs.submit(wanted, trace=trace)
        return (job, None) if created else self._with_progress(job)

    def get(self, job_id: str) -> JobAndProgress:
        return self._with_progress(self._registry.jobs.get(job_id))

    def list(
        self, model: str | None, states: Sequence[JobState], page_size: int, page_token: str
    ) -> tuple[list[JobAndProgress], str]:
        """A page of jobs, and the token of the next."""
        page = self._registry.jobs.list(model, states, page_size=page_size, page_token=page_token)
        latest = self._registry.jobs.latest_progress([job.job_id for job in page.items])
        return [(job, latest.get(job.job_id)) for job in page.items], page.next_page_token

    def cancel(self, job_id: str) -> JobAndProgress:
        """A job that is cancelled already is as good as one that was cancelled now."""
        try:
            job = self._registry.jobs.cancel(job_id)
        except FailedPrecondition:
            job = self._registry.jobs.get(job_id)
            if job.state is not JobState.CANCELLED:
                raise
        return self._with_progress(job)

    def _with_progress(self, job: Job) -> JobAndProgress:
        return job, self._registry.jobs.latest_progress([job.job_id]).get(job.job_id)

    def _check_file(self, dataset: DatasetSpec) -> None:
        """The trainer applies the same rule again when it opens the file: it may have become a link meanwhile."""
        if isinstance(dataset.source, FileDataset):
            format_of(resolve_under_roots(dataset.source.path, self._data_roots), dataset.source)


class JobWatch:
    """Follows jobs by looking at the registry.

    Args:
        poll_seconds: time between two looks.
        draining: set when the server is about to stop: then a watcher is sent away to another process.
    """

    def __init__(
        self, registry: Registry, executors: Executors, *, poll_seconds: float, draining: asyncio.Event
    ) -> None:
        self._registry = registry
        self._executors = executors
        self._poll_seconds = poll_seconds
        self._draining = draining

    async def follow(
        self, job_id: str, after_sequence: int
    ) -> AsyncGenerator[pb.WatchTrainingJobResponse, None]:
        """The job as it is, then on every change, to its end; every step of progress once.

        Raises:
            InvalidArgument: a negative sequence number.
            NotFound: JOB_NOT_FOUND.
            Unavailable: the server stops.
        """
        if after_sequence < 0:
            raise InvalidArgument("A sequence number is 0 or more.", field="after_sequence")
        revision = None
        # Looked up once, as somebody who resumes may have seen all of it; from then on it is the last one sent.
        latest = (await self._executors.registry(self._registry.jobs.latest_progress, [job_id])).get(job_id)
        while True:
            # The job first: when it is final, all its progress is there already.
            job = await self._executors.registry(self._registry.jobs.get, job_id)
            steps = await self._executors.registry(self._registry.jobs.progress, job_id, after_sequence)
            if steps or job.revision != revision:
                latest = steps[-1] if steps else latest
                for response in _changes(job, steps, latest):
                    yield response
                revision = job.revision
                after_sequence = steps[-1].sequence if steps else after_sequence
            if job.state.finished:
                return
            await self._pause()

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(self._poll_seconds):
                await self._draining.wait()
        except TimeoutError:
            return
        raise Unavailable("The server stops; go on watching at another one.", reason="UNAVAILABLE")


def _changes(
    job: Job, steps: Sequence[Progress], latest: Progress | None
) -> list[pb.WatchTrainingJobResponse]:
    parts = [
        steps[start : start + PROGRESS_PER_MESSAGE] for start in range(0, len(steps), PROGRESS_PER_MESSAGE)
    ]
    return [
        pb.WatchTrainingJobResponse(job=job_message(job, latest), progress=map(progress_message, part))
        for part in parts or [()]
    ]
