"""Claims jobs under a lease, has them fitted in a process that can be killed, and publishes what comes of them."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

import structlog

from mfserve_registry import Claim, Progress, Registry
from mfserve_registry.errors import FailedPrecondition, LeaseLost, RegistryError
from mfserve_registry.spec import UploadedDataset
from mfserve_trainer.datasets import cache_folder
from mfserve_trainer.fitter import FitProcessDied, Fitter
from mfserve_trainer.messages import Done, Failed, FitTask, Step
from mfserve_trainer.settings import Settings

_RENEWALS_PER_LEASE = 3
_RECORD_SECONDS = 0.1
"""Steps that come within this time are written together."""

_log = structlog.get_logger(__name__)
Result = TypeVar("Result")


class _Cancelled(Exception):
    """Somebody asked to cancel the job."""


class Worker:
    """One trainer. Any number of them may work on one registry.

    The registry's calls block, so they run in threads; the claim protects against everything else that may happen
    meanwhile: whoever has lost it can neither report nor publish.

    Args:
        settings: of this process.
        registry: open, migrated.
    """

    def __init__(self, settings: Settings, registry: Registry) -> None:
        self._settings = settings
        self._registry = registry
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._fitter = Fitter(settings)
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ends ``run`` soon; a job that is under way goes back to the queue."""
        self._stop.set()

    async def run(self) -> None:
        """Works until ``stop``."""
        try:
            await self._fitter.start()
            while not self._stop.is_set():
                claim = await self._claim()
                if claim is None:
                    await self._wait(self._settings.poll_seconds)
                else:
                    await self._work(claim)
        finally:
            await self._fitter.kill()

    async def _claim(self) -> Claim | None:
        try:
            return await asyncio.to_thread(self._registry.jobs.claim, self._name, self._lease)
        except RegistryError as error:
            _log.warning("the registry does not answer; it is asked again", message=error.message)
            return None

    async def _work(self, claim: Claim) -> None:
        """Takes one job to an end, whatever that is."""
        log = _log.bind(job=claim.job_id, model=claim.request.model, attempt=claim.attempt)
        log.info("begins a job")
        jobs = self._registry.jobs
        work = asyncio.create_task(self._fit_and_publish(claim))
        stop = asyncio.create_task(self._stop.wait())
        hold = asyncio.create_task(self._hold(claim))
        try:
            await asyncio.wait((work, stop, hold), return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                version = work.result()
                log.info("published", version=version)
            elif hold.done():
                hold.result()
            else:
                await self._end(work)
                with suppress(LeaseLost):
                    await asyncio.to_thread(jobs.release, claim)
                log.info("gives the job back")
        except _Cancelled:
            await self._end(work)
            with suppress(LeaseLost):
                await asyncio.to_thread(jobs.cancelled, claim)
            log.info("cancelled")
        except LeaseLost:
            await self._end(work)
            log.warning("lost the lease; publishes nothing")
        except _JobFailed as failure:
            log.warning("failed", reason=failure.reason, message=failure.message)
            with suppress(LeaseLost):
                await asyncio.to_thread(
                    jobs.fail, claim, failure.reason, failure.message, retry=failure.retry
                )
        finally:
            for task in (work, stop, hold):
                task.cancel()
            await asyncio.gather(work, stop, hold, return_exceptions=True)

    async def _hold(self, claim: Claim) -> None:
        """Renews the lease; raises _Cancelled or LeaseLost when there is no sense in going on."""
        while True:
            await asyncio.sleep(
                min(self._settings.poll_seconds, self._settings.lease_seconds / _RENEWALS_PER_LEASE)
            )
            try:
                if await asyncio.to_thread(self._registry.jobs.renew, claim, self._lease):
                    raise _Cancelled
            except LeaseLost:
                raise
            except RegistryError as error:
                # The lease may outlive this; if it does not, nothing can be published.
                _log.warning("the registry does not answer; the lease is not renewed", message=error.message)

    async def _end(self, work: asyncio.Task[int]) -> None:
        await self._fitter.kill()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    async def _fit_and_publish(self, claim: Claim) -> int:
        staged = await asyncio.to_thread(self._registry.snapshots.stage)
        try:
            with tempfile.TemporaryDirectory(prefix="mfserve-") as scratch:
                done = await self._fit(claim, staged, Path(scratch))
            return await asyncio.to_thread(self._publish, claim, staged, done)
        except FitProcessDied as error:
            message = f"The training broke off: {error}. It may need more memory than this trainer has."
            raise _JobFailed("TRAINER_DIED", message, retry=True) from error
        except LeaseLost:
            raise
        except FailedPrecondition as error:
            if error.reason == "JOB_CANCELLED":
                raise _Cancelled from error
            raise _JobFailed(error.reason, error.message, retry=False) from error
        except RegistryError as error:
            raise _JobFailed(error.reason, error.message, retry=False) from error
        except OSError as error:
            message = f"The snapshot could not be written: {error.strerror or error}."
            raise _JobFailed("STORAGE_FAILED", message, retry=False) from error
        finally:
            await asyncio.to_thread(shutil.rmtree, staged, ignore_errors=True)

    async def _fit(self, claim: Claim, staged: Path, scratch: Path) -> Done:
        source = claim.request.dataset.source
        upload = None
        if isinstance(source, UploadedDataset):
            upload = await asyncio.to_thread(self._registry.uploads.path, source.upload_id)
        task = FitTask(
            dataset=claim.request.dataset,
            spec=claim.request.spec,
            data_roots=self._settings.data_roots,
            upload=upload,
            cache=self._settings.cache_dir or cache_folder(),
            staged=staged,
            scratch=scratch,
            log_dir=self._settings.home / "logs" / claim.job_id,
        )
        async with self._recording(claim) as record:
            async for answer in self._fitter.perform(task):
                match answer:
                    case Step():
                        record(answer.progress())
                    case Failed():
                        raise _JobFailed(answer.reason, answer.message, retry=False)
                    case Done():
                        return answer
        raise FitProcessDied("it gave no answer")

    @asynccontextmanager
    async def _recording(self, claim: Claim) -> AsyncIterator[Callable[[Progress], None]]:
        """Writes the steps it is given, a few at a time and all of them by its end."""
        steps: asyncio.Queue[Progress | None] = asyncio.Queue()

        async def write() -> None:
            last = False
            while not last:
                batch = [await steps.get()]
                if batch[-1] is not None:
                    await asyncio.sleep(_RECORD_SECONDS)
                while not steps.empty():
                    batch.append(steps.get_nowait())
                last = batch[-1] is None
                if found := [step for step in batch if step is not None]:
                    await asyncio.to_thread(self._registry.jobs.record, claim, found)

        writing = asyncio.create_task(write())
        try:
            yield steps.put_nowait
        finally:
            steps.put_nowait(None)
            await writing

    def _publish(self, claim: Claim, staged: Path, done: Done) -> int:
        version = self._registry.publish(
            claim,
            staged,
            done.digest,
            [file.artifact() for file in done.files],
            metrics=done.facts["metrics"] or {},
            facts={name: done.facts[name] for name in ("spec", "dataset", "split")},
        )
        return version.version

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()


class _JobFailed(Exception):
    def __init__(self, reason: str, message: str, *, retry: bool) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry = retry
