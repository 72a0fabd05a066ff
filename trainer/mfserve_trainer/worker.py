"""Claims queued jobs, one after another."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from mfserve_registry import Claim, Registry
from mfserve_registry.contact import Contact
from mfserve_registry.errors import RegistryError
from mfserve_trainer.attempt import Attempt
from mfserve_trainer.fitter import FitProcessDied, Fitter
from mfserve_trainer.settings import Settings
from mfserve_trainer.tracing import traced

if TYPE_CHECKING:
    from mfserve_registry.traces.spans import Traces

_log = structlog.get_logger(__name__)


class Worker:
    """One trainer. Any number of them may work on one registry.

    Args:
        settings: of this process.
        registry: open, migrated.
        traces: where its attempts are noted; None: nowhere.
    """

    def __init__(self, settings: Settings, registry: Registry, traces: Traces | None = None) -> None:
        self._traces = traces
        self._settings = settings
        self._registry = registry
        self._lease = timedelta(seconds=settings.lease_seconds)
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._fitter = Fitter(settings)
        self._contact = Contact()
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ends ``run`` soon; a job that is fitted just then goes back to the queue."""
        self._stop.set()

    async def run(self) -> None:
        """Works until ``stop``."""
        try:
            while not self._stop.is_set():
                claim = await self._claim()
                if claim is None:
                    await self._wait(self._settings.job_poll_seconds)
                    continue
                with traced(self._traces, claim) as trace:
                    attempt = Attempt(
                        claim, self._settings, self._registry, self._fitter, self._contact, trace
                    )
                    await attempt.run(self._stop)
                if self._settings.max_fit_bytes is not None:
                    # What it keeps of this training would count as the next one's.
                    await self._fitter.kill()
        finally:
            await self._fitter.kill()

    async def _claim(self) -> Claim | None:
        try:
            # So that the process is ready when the job comes, also after one that had to be killed.
            await self._fitter.start()
            claim = await asyncio.to_thread(self._registry.jobs.claim, self._name, self._lease)
        except FitProcessDied as error:
            _log.warning("nothing can be fitted; it is tried again", message=str(error))
        except RegistryError as error:
            self._contact.failed(error)
        except Exception:  # noqa: BLE001 - a worker that ends would be started again, and find the same
            _log.exception("the registry cannot be used; it is asked again")
        else:
            self._contact.found()
            return claim
        return None

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()
