"""TrainingService."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import TYPE_CHECKING

from mfserve.v1 import training_service_pb2 as pb
from mfserve_registry import Registry
from mfserve_server.checks import page_size_of, required
from mfserve_server.conversions.jobs import job_message, job_states
from mfserve_server.executors import Executors
from mfserve_server.training import JobWatch, TrainingDesk
from mfserve_server.uploading import receive_upload

if TYPE_CHECKING:
    from mfserve_registry.traces.spans import Traces


class TrainingService:
    """Queues trainings and tells how they get on."""

    def __init__(
        self,
        registry: Registry,
        executors: Executors,
        desk: TrainingDesk,
        watch: JobWatch,
        traces: Traces | None,
    ) -> None:
        self._registry = registry
        self._executors = executors
        self._desk = desk
        self._watch = watch
        self._traces = traces

    async def Train(self, request: pb.TrainRequest) -> pb.TrainResponse:
        trace = None if self._traces is None else self._traces.carrier()
        submitted = await self._executors.registry(self._desk.submit, request, trace)
        return pb.TrainResponse(job=job_message(*submitted))

    async def GetTrainingJob(self, request: pb.GetTrainingJobRequest) -> pb.GetTrainingJobResponse:
        job_id = required(request.job_id, "job_id")
        return pb.GetTrainingJobResponse(
            job=job_message(*await self._executors.registry(self._desk.get, job_id))
        )

    async def ListTrainingJobs(self, request: pb.ListTrainingJobsRequest) -> pb.ListTrainingJobsResponse:
        jobs, token = await self._executors.registry(
            self._desk.list,
            request.model or None,
            job_states(request.states),
            page_size_of(request.page_size),
            request.page_token,
        )
        return pb.ListTrainingJobsResponse(jobs=[job_message(*job) for job in jobs], next_page_token=token)

    async def CancelTrainingJob(self, request: pb.CancelTrainingJobRequest) -> pb.CancelTrainingJobResponse:
        job_id = required(request.job_id, "job_id")
        return pb.CancelTrainingJobResponse(
            job=job_message(*await self._executors.registry(self._desk.cancel, job_id))
        )

    async def WatchTrainingJob(
        self, request: pb.WatchTrainingJobRequest
    ) -> AsyncGenerator[pb.WatchTrainingJobResponse, None]:
        async for change in self._watch.follow(required(request.job_id, "job_id"), request.after_sequence):
            yield change

    async def UploadDataset(
        self, requests: AsyncIterator[pb.UploadDatasetRequest]
    ) -> pb.UploadDatasetResponse:
        upload = await receive_upload(requests, self._registry.uploads, self._executors)
        return pb.UploadDatasetResponse(
            upload_id=upload.upload_id,
            rows=upload.rows,
            size_bytes=upload.size_bytes,
            sha256=upload.content_hash,
        )
