"""The handle of a training job, for event loops."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from mfserve._client import model_service, training_service
from mfserve._client.aio_transport import AsyncTransport
from mfserve._client.job import JobHandle, documented_as
from mfserve._client.sync_job import TrainingJob
from mfserve._client.training_service import Watch
from mfserve._types.models import ModelVersion
from mfserve._types.training import JobInfo, Progress


class AsyncTrainingJob(JobHandle):
    """A training that was queued; the methods are those of TrainingJob, awaited."""

    def __init__(self, transport: AsyncTransport, info: JobInfo) -> None:
        super().__init__(info)
        self._transport = transport

    @documented_as(TrainingJob.refresh)
    async def refresh(self, *, timeout: float | None = None) -> AsyncTrainingJob:
        self._info = await self._transport.unary(training_service.get_job(self.job_id), timeout)
        return self

    @documented_as(TrainingJob.watch)
    async def watch(
        self, *, after_sequence: int = 0, timeout: float | None = None
    ) -> AsyncGenerator[Progress]:
        async with aclosing(self._transport.watch(Watch(self.job_id, after_sequence), timeout)) as updates:
            async for update in updates:
                self._info = update.job
                for progress in update.progress:
                    yield progress

    @documented_as(TrainingJob.result)
    async def result(self, *, timeout: float | None = None) -> ModelVersion:
        if not self.state.final:
            async for _ in self.watch(after_sequence=self._seen, timeout=timeout):
                pass
        version = training_service.version_of(self.info)
        return await self._transport.unary(model_service.get_version(self.model, version, None), None)

    @documented_as(TrainingJob.cancel)
    async def cancel(self, *, timeout: float | None = None) -> AsyncTrainingJob:
        self._info = await self._transport.unary(training_service.cancel_job(self.job_id), timeout)
        return self
