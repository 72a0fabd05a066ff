"""The handle of a training job."""

from __future__ import annotations

from collections.abc import Iterator

from mfserve._client import model_service, training_service
from mfserve._client.job import JobHandle
from mfserve._client.sync_transport import Transport
from mfserve._client.training_service import Watch
from mfserve._types.models import ModelVersion
from mfserve._types.training import JobInfo, Progress


class TrainingJob(JobHandle):
    """A training that was queued. Its facts are as of the last answer: ``refresh`` asks again."""

    def __init__(self, transport: Transport, info: JobInfo) -> None:
        super().__init__(info)
        self._transport = transport

    def refresh(self, *, timeout: float | None = None) -> TrainingJob:
        """Asks for the job as it is now, and returns this handle."""
        self._info = self._transport.unary(training_service.get_job(self.job_id), timeout)
        return self

    def watch(self, *, after_sequence: int = 0, timeout: float | None = None) -> Iterator[Progress]:
        """Yields every step of the job once, each epoch among them, and ends with the job, however that ends.

        Goes on by itself after a broken connection or a restart of the server.

        Args:
            after_sequence: leave out steps up to this one; 0 gives all from the beginning.
            timeout: seconds until DeadlineExceededError; None waits for as long as it takes.
        """
        for update in self._transport.watch(Watch(self.job_id, after_sequence), timeout):
            self._info = update.job
            yield from update.progress

    def result(self, *, timeout: float | None = None) -> ModelVersion:
        """Waits for the end of the job and returns the version that it has published.

        Args:
            timeout: seconds until DeadlineExceededError, a TimeoutError; the job then goes on. None waits for as
                long as it takes.

        Raises:
            TrainingFailedError: with the reason.
            TrainingCancelledError: it was cancelled.
        """
        if not self.state.final:
            for _ in self.watch(after_sequence=self._seen, timeout=timeout):
                pass
        version = training_service.version_of(self.info)
        return self._transport.unary(model_service.get_version(self.model, version, None), None)

    def cancel(self, *, timeout: float | None = None) -> TrainingJob:
        """Asks to end the job, and returns this handle: CANCELLED at once where it waited, else within seconds.

        Raises:
            FailedPreconditionError: it has succeeded or failed already.
        """
        self._info = self._transport.unary(training_service.cancel_job(self.job_id), timeout)
        return self
