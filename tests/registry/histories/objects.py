"""What the clients call: a registry that they have opened themselves; and some with a defect, which must be found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from mfserve_registry import Alias, Claim, Job, Registry
from mfserve_registry.errors import Aborted, FailedPrecondition, RegistryError
from tests.places import Place
from tests.registry.helpers import request
from tests.registry.histories.checker import Operation

MODEL = "movies"
LEASE = timedelta(minutes=5)  # longer than the test: no lease ends by itself


class NoAnswer(Exception):
    """Nobody knows whether the call has happened."""


class Opened:
    """A registry of this process. Answers in the words of ``models``.

    Attributes:
        job_ids: of every job that was heard of, by its request id.
    """

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.job_ids: dict[str, str] = {}
        self.claims: dict[tuple[str, int], Claim] = {}

    def aliases(self, operation: Operation) -> Any:
        aliases = self.registry.aliases
        what, alias, *arguments = operation
        try:
            match what:
                case "get":
                    return _named(aliases.get(MODEL, alias))
                case "set":
                    version, expected = arguments
                    return _named(aliases.set(MODEL, alias, version, expected_revision=expected))
                case "roll back":
                    return _named(aliases.roll_back(MODEL, alias, expected_revision=arguments[0]))
                case _:
                    aliases.delete(MODEL, alias, expected_revision=arguments[0])
                    return 0, None
        except RegistryError as error:
            return refused(error.reason, error.metadata)

    def jobs(self, operation: Operation) -> Any:
        jobs = self.registry.jobs
        what, *arguments = operation
        match what:
            case "submit":
                return self._told(jobs.submit(request(arguments[0]))[0])
            case "get":
                return self._told(jobs.get(self.job_ids[arguments[0]]))
            case "cancel":
                try:
                    return jobs.cancel(self.job_ids[arguments[0]]).state.value
                except FailedPrecondition as finished:
                    return str(finished.metadata["state"])
            case "claim":
                return self.claim()
            case _:
                return self._end(what, *arguments)

    def claim(self) -> Any:
        """Takes a job, as a trainer does."""
        claim = self.registry.jobs.claim("a client", LEASE)
        if claim is None:
            return None
        key = claim.request.request_id, claim.attempt
        self.job_ids[key[0]] = claim.job_id
        self.claims[key] = claim
        return key

    def _end(self, what: str, request_id: str, attempt: int) -> Any:
        claim, jobs = self.claims.pop((request_id, attempt)), self.registry.jobs
        try:
            if what == "release":
                return jobs.release(claim).state.value
            return jobs.fail(claim, "INTERNAL", "By chance.", retry=False).state.value
        except RegistryError as error:
            return error.reason

    def _told(self, job: Job) -> Any:
        self.job_ids[job.request_id] = job.job_id
        return job.state.value, job.cancel_requested, job.attempts_used


class StaleReads(Opened):
    """Each read answers what the one before it found."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._found: dict[str, Any] = {}

    def aliases(self, operation: Operation) -> Any:
        answer = super().aliases(operation)
        if operation[0] != "get":
            return answer
        before = self._found.get(operation[1], answer)
        self._found[operation[1]] = answer
        return before


class TornSwaps(Opened):
    """Compares in one transaction and sets in another."""

    def aliases(self, operation: Operation) -> Any:
        if operation[0] != "set":
            return super().aliases(operation)
        _, alias, version, expected = operation
        found, named = super().aliases(("get", alias))
        revision = 0 if named is None else found
        if revision != expected:
            return "REVISION_MISMATCH", revision
        while True:
            try:
                return _named(self.registry.aliases.set(MODEL, alias, version, expected_revision=revision))
            except Aborted as lost:
                revision = int(lost.metadata["revision"])


class DoubleClaims(Opened):
    """What was claimed waits as before."""

    def claim(self) -> Any:
        key = super().claim()
        if key is not None:
            self.registry.jobs.release(self.claims[key])
        return key


@contextmanager
def opened(place: Place, kind: type[Opened] = Opened) -> Iterator[Opened]:
    with place.open() as registry:
        yield kind(registry)


def refused(reason: str, metadata: Mapping[str, str]) -> Any:
    return reason, int(metadata["revision"]) if reason == "REVISION_MISMATCH" else None


def _named(alias: Alias) -> Any:
    return alias.revision, alias.targets[0].version
