"""What an alias and the queue of jobs should be to callers who come one after another: a few lines each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from tests.registry.histories.checker import Operation


@dataclass(frozen=True)
class AliasModel:
    """One alias of a model whose versions all exist.

    Attributes:
        changes: how often it was changed.
        version: what it names; None: it does not exist.
        past: the versions that a rollback goes back through, the last one last.
    """

    changes: int = 0
    version: int | None = None
    past: tuple[int, ...] = ()

    @property
    def revision(self) -> int:
        """As a caller knows it: 0 where the alias does not exist."""
        return 0 if self.version is None else self.changes

    def changed(self, version: int | None, past: tuple[int, ...]) -> tuple[AliasModel, Any]:
        after = AliasModel(self.changes + 1, version, past)
        return after, (after.revision, version)


def alias_step(alias: AliasModel, operation: Operation) -> tuple[AliasModel, Any]:
    what, _, *arguments = operation
    if alias.version is None and what != "set":
        return alias, ("ALIAS_NOT_FOUND", None)
    if what == "get":
        return alias, (alias.revision, alias.version)
    expected = arguments[-1]
    if expected is not None and expected != alias.revision:
        return alias, ("REVISION_MISMATCH", alias.revision)
    if what == "set":
        return alias.changed(arguments[0], (*alias.past, arguments[0]))
    if what == "delete":
        return alias.changed(None, alias.past)
    past = alias.past
    while past and past[-1] == alias.version:
        past = past[:-1]
    return alias.changed(past[-1], past) if past else (alias, ("ROLLBACK_TARGET_MISSING", None))


@dataclass(frozen=True)
class JobModel:
    """One job: its attempts are numbered, and those that were given back do not count as used."""

    request_id: str
    state: str = "PENDING"
    cancel: bool = False
    attempt: int = 0
    given_back: int = 0

    @property
    def told(self) -> Any:
        return self.state, self.cancel, self.attempt - self.given_back


Queue = tuple[JobModel, ...]
"""All jobs, in the order in which they were submitted. No lease ends."""


def queue_step(queue: Queue, operation: Operation) -> tuple[Queue, Any]:
    what, *arguments = operation
    if what == "claim":
        waiting = next((job for job in queue if job.state == "PENDING"), None)
        if waiting is None:
            return queue, None
        claimed = replace(waiting, state="RUNNING", attempt=waiting.attempt + 1)
        return _with(queue, claimed), (claimed.request_id, claimed.attempt)
    job = next((job for job in queue if job.request_id == arguments[0]), None)
    if job is None:
        job = JobModel(arguments[0])
        return ((*queue, job), job.told) if what == "submit" else (queue, "JOB_NOT_FOUND")
    if what == "cancel":
        if job.state == "PENDING":
            job = replace(job, state="CANCELLED", cancel=True)
        elif job.state == "RUNNING":
            job = replace(job, cancel=True)
        return _with(queue, job), job.state
    if what in {"release", "fail"}:
        if job.state != "RUNNING" or job.attempt != arguments[1]:
            return queue, "LEASE_LOST"
        ended = "PENDING" if what == "release" else "FAILED"
        job = replace(
            job,
            state="CANCELLED" if job.cancel else ended,
            given_back=job.given_back + (what == "release"),
        )
        return _with(queue, job), job.state
    return queue, job.told  # "get", or "submit" once more


def _with(queue: Queue, changed: JobModel) -> Queue:
    return tuple(changed if job.request_id == changed.request_id else job for job in queue)
