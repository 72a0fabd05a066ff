"""One attempt at a job: fitted in a process that can be killed, under a lease that is renewed, then published."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import structlog

from mfserve_registry import Claim, Progress, Registry
from mfserve_registry.contact import Contact
from mfserve_registry.errors import DamagedSnapshot, LeaseLost, RegistryError, Unavailable, UnsoundSnapshot
from mfserve_registry.spec import UploadedDataset
from mfserve_registry.store import Held, copy_durably
from mfserve_trainer.datasets import cache_folder
from mfserve_trainer.fitter import FitProcessDied, Fitter
from mfserve_trainer.limits import LimitPassed, keep_limits
from mfserve_trainer.messages import Done, Failed, FitTask, Step
from mfserve_trainer.promotion import gate_report
from mfserve_trainer.recording import recording
from mfserve_trainer.settings import Settings
from mfserve_trainer.tracing import UNTRACED, AttemptTrace

_RENEWALS_PER_LEASE = 3
_AGAIN_SECONDS = 1.0
_PUBLISHING_SECONDS = 900.0
"""So long a finished fit waits for a registry that does not answer, before it is given up."""
_LOOK_SECONDS = 0.5
"""At least so often a busy worker looks whether its job was cancelled: a cancel takes a second or two."""


class _Cancelled(Exception):
    """Somebody asked to cancel the job."""


class _Stopped(Exception):
    """The worker is to stop."""


class _JobFailed(Exception):
    def __init__(self, reason: str, message: str, *, retry: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.retry = retry


class Attempt:
    """A claimed job, to be brought to an end.

    The registry's calls block, so they run in threads. The claim protects against everything else that may happen
    meanwhile: whoever has lost it can neither report nor publish.

    Args:
        claim: the worker's hold on the job.
        settings: of the worker.
        registry: open.
        fitter: does the fit; its process is dead after an attempt that ended in mid-fit.
        contact: is told whether the registry answers.
        trace: where it is noted what happens.
    """

    def __init__(
        self,
        claim: Claim,
        settings: Settings,
        registry: Registry,
        fitter: Fitter,
        contact: Contact,
        trace: AttemptTrace = UNTRACED,
    ) -> None:
        self._trace = trace
        self._claim = claim
        self._settings = settings
        self._registry = registry
        self._jobs = registry.jobs
        self._fitter = fitter
        self._contact = contact
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._folders: list[Path] = []
        self._log = structlog.get_logger(__name__).bind(
            job=claim.job_id, model=claim.request.model, attempt=claim.attempt
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Fits and publishes, or says in the registry what came of it instead; raises nothing.

        Args:
            stop: when it is set in mid-fit, the job is given back. A publication that has begun is brought to its end.
        """
        self._log.info("begins")
        try:
            version = await self._fit_and_publish(stop)
        except _Stopped:
            self._log.info("gives the job back")
            self._trace.end("released")
            await self._settle(self._jobs.release, self._claim)
        except _Cancelled:
            self._log.info("cancelled")
            self._trace.end("cancelled")
            await self._settle(self._jobs.cancelled, self._claim)
        except LeaseLost:
            self._log.warning("lost the lease; publishes nothing")
            self._trace.end("failed", "LEASE_LOST")
        except _JobFailed as failure:
            self._log.warning("failed", reason=failure.reason, message=failure.message)
            self._trace.end("failed", failure.reason)
            await self._settle(
                self._jobs.fail, self._claim, failure.reason, failure.message, retry=failure.retry
            )
        except Exception:  # noqa: BLE001 - the jobs behind this one must not wait for our defects
            self._log.exception("failed unexpectedly")
            self._trace.end("failed", "INTERNAL")
            message = "The trainer failed unexpectedly; its log says why."
            await self._settle(self._jobs.fail, self._claim, "INTERNAL", message, retry=True)
        else:
            self._log.info("published", version=version)
            self._trace.end("published")

    async def _settle(self, say: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Tells the registry how the attempt ended, if it still wants to know."""
        try:
            await asyncio.to_thread(say, *arguments, **options)
        except RegistryError as error:
            # Lost meanwhile, or no answer: then the lease ends by itself and the job is tried again.
            self._log.warning("the end of the attempt was not recorded", message=error.message)
        except Exception:  # noqa: BLE001 - as above
            self._log.exception("the end of the attempt was not recorded")

    async def _fit_and_publish(self, stop: asyncio.Event) -> int:
        holding = asyncio.create_task(self._hold())
        try:
            async with self._folder() as staged:
                async with self._folder() as scratch:
                    done = await self._fit_while_held(staged, scratch, holding, stop)
                # To its end without a break: a publication that is broken off could be visible in part.
                return await self._publish_in_the_end(staged, done, stop)
        except OSError as error:
            message = f"The trainer could not write its files: {error.strerror or type(error).__name__}."
            raise _JobFailed("STORAGE_FAILED", message) from error
        finally:
            holding.cancel()
            await asyncio.gather(holding, return_exceptions=True)

    @asynccontextmanager
    async def _folder(self) -> AsyncIterator[Path]:
        """An empty folder beside the snapshots, gone afterwards; what a kill leaves is not left elsewhere."""
        store = self._registry.snapshots
        folder = await asyncio.to_thread(store.stage)
        self._folders.append(folder)
        try:
            yield folder
        finally:
            self._folders.remove(folder)
            await asyncio.to_thread(store.discard, folder)

    async def _hold(self) -> None:
        """Renews the lease; raises _Cancelled or LeaseLost when there is no sense in going on."""
        between_renewals = self._settings.lease_seconds / _RENEWALS_PER_LEASE
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(min(self._settings.job_poll_seconds, _LOOK_SECONDS, between_renewals))
            try:
                if time.monotonic() - renewed < between_renewals:
                    job = await asyncio.to_thread(self._jobs.get, self._claim.job_id)
                    cancelled = job.cancel_requested
                else:
                    begun = time.monotonic()
                    cancelled = await asyncio.to_thread(self._jobs.renew, self._claim, self._lease)
                    renewed = begun
                    self._show_use()
            except Unavailable as error:
                # The lease may outlive this; if it does not, nothing can be published.
                self._contact.failed(error)
            else:
                self._contact.found()
                if cancelled:
                    raise _Cancelled

    def _show_use(self) -> None:
        """Keeps the folders of a long fit from being cleaned away as left behind."""
        for folder in self._folders:
            with suppress(FileNotFoundError):
                os.utime(folder)

    async def _fit_while_held(
        self, staged: Path, scratch: Path, holding: asyncio.Task[None], stop: asyncio.Event
    ) -> Done:
        """The fit, ended at once when the job is cancelled or lost, takes too much, or the worker is to stop."""
        fit = asyncio.create_task(self._fit(staged, scratch))
        limits = asyncio.create_task(keep_limits(self._settings, lambda: self._fitter.pid))
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((fit, holding, limits, stopped), return_when=asyncio.FIRST_COMPLETED)
            if fit.done():
                return fit.result()
            for guard in (holding, limits):
                if guard.done():
                    guard.result()
            raise _Stopped
        except LimitPassed as error:
            raise _JobFailed(error.reason, error.message) from error
        finally:
            # A fit that is broken off kills its process first of all, whatever the registry is doing.
            for task in (fit, limits, stopped):
                task.cancel()
            await asyncio.gather(fit, limits, stopped, return_exceptions=True)

    async def _fit(self, staged: Path, scratch: Path) -> Done:
        try:
            with await asyncio.to_thread(self._hold_upload) as upload:
                task = self._task(staged, scratch, upload.path if upload is not None else None)
                async with (
                    recording(self._record, self._contact) as record,
                    aclosing(self._fitter.perform(task)) as answers,
                ):
                    async for answer in answers:
                        match answer:
                            case Step():
                                record(answer.progress())
                                self._trace.step(answer)
                            case Failed():
                                raise _JobFailed(answer.reason, answer.message)
                            case Done():
                                return answer
            raise FitProcessDied("it gave no answer")
        except FitProcessDied as error:
            message = f"The training broke off: {error}. It may need more memory than this trainer has."
            raise _JobFailed("TRAINER_DIED", message, retry=True) from error
        except LeaseLost:
            raise
        except RegistryError as error:
            raise _JobFailed(error.reason, error.message, retry=isinstance(error, Unavailable)) from error

    def _record(self, steps: Sequence[Progress]) -> None:
        self._jobs.record(self._claim, steps)

    def _hold_upload(self) -> Held | nullcontext[None]:
        """The uploaded ratings of the job, on this machine; nothing where it trains on other data."""
        source = self._claim.request.dataset.source
        if isinstance(source, UploadedDataset):
            return self._registry.uploads.hold(source.upload_id)
        return nullcontext()

    def _task(self, staged: Path, scratch: Path, upload: Path | None) -> FitTask:
        request = self._claim.request
        return FitTask(
            model=request.model,
            job_id=self._claim.job_id,
            dataset=request.dataset,
            spec=request.spec,
            data_roots=self._settings.data_roots,
            upload=upload,
            cache=self._settings.cache_dir or cache_folder(),
            staged=staged,
            scratch=scratch,
            # A folder for each attempt: two in one would be drawn as one curve.
            log_dir=self._settings.home / "logs" / self._claim.job_id / f"attempt-{self._claim.attempt}",
            # One folder for all jobs: what was tried before, for whichever job, is not tried again.
            studies=self._settings.home / "logs" / "tuning",
        )

    async def _publish_in_the_end(self, staged: Path, done: Done, stop: asyncio.Event) -> int:
        """A fit of hours is not thrown away for a registry that does not answer just then."""
        give_up = time.monotonic() + _PUBLISHING_SECONDS
        told = ""
        while True:
            try:
                # It may have been away for longer than the lease lasts.
                await asyncio.to_thread(self._jobs.renew, self._claim, self._lease)
                async with self._folder() as again:
                    await asyncio.to_thread(_link, staged, again)
                    return await self._publish(again, done)
            except Unavailable as error:
                if stop.is_set() or time.monotonic() > give_up:
                    raise _JobFailed(error.reason, error.message, retry=True) from error
                # By itself, and once: where it is the store that is away, the database that the contact is of answers.
                if told != error.message:
                    self._log.warning(
                        "the registry does not answer; it is published later", message=error.message
                    )
                told = error.message
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_SECONDS):
                    await stop.wait()

    async def _publish(self, staged: Path, done: Done) -> int:
        artifacts = [file.artifact() for file in done.files]
        try:
            # Only now, however long the fit took: the alias may have been moved since.
            gates = await asyncio.to_thread(
                gate_report, self._registry, self._claim.request, staged, done.digest, artifacts
            )
            version = await asyncio.to_thread(
                self._registry.publish,
                self._claim,
                staged,
                done.digest,
                artifacts,
                metrics=done.facts["metrics"] or {},
                facts={name: value for name, value in done.facts.items() if name != "metrics"},
                gates=gates,
            )
        except (LeaseLost, Unavailable):
            raise
        except RegistryError as error:
            if error.reason == "JOB_CANCELLED":
                raise _Cancelled from error
            # Another fit may end better where the disk gave back other bytes. NaN comes again.
            retry = isinstance(error, DamagedSnapshot) and not isinstance(error, UnsoundSnapshot)
            raise _JobFailed(error.reason, error.message, retry=retry) from error
        return version.version


def _link(folder: Path, other: Path) -> None:
    """The same files once more: a publication takes its folder with it, also where its transaction then fails."""
    for file in folder.iterdir():
        twin = other / file.name
        try:
            os.link(file, twin)
        except OSError:  # a file system without hard links
            copy_durably(file, twin)
