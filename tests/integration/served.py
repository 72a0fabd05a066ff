"""A server as the clients of histories call it; what they do as trainers they do on the registry, as trainers do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mfserve import Client
from mfserve.errors import DeadlineExceededError, FailedPreconditionError, StatusError, UnavailableError
from mfserve.types import Alias, JobInfo
from mfserve_registry import Registry
from tests.places import Place
from tests.registry.histories.checker import Operation
from tests.registry.histories.objects import MODEL, NoAnswer, Opened, refused

LOST = UnavailableError, DeadlineExceededError
PATIENCE = 60.0
"""Seconds for a call, in which a server process that was killed is there again, on a busy machine too."""


class Served(Opened):
    """A server, by the SDK, which repeats by itself what may be repeated."""

    def __init__(self, registry: Registry, client: Client) -> None:
        super().__init__(registry)
        self._client = client

    def aliases(self, operation: Operation) -> Any:
        client = self._client
        what, alias, *arguments = operation
        try:
            match what:
                case "get":
                    found = {each.alias: _named(each) for each in client.get_model(MODEL).aliases}
                    return found.get(alias, ("ALIAS_NOT_FOUND", None))
                case "set":
                    version, expected = arguments
                    return _named(client.set_alias(MODEL, alias, version, expected_revision=expected))
                case "roll back":
                    return _named(client.rollback_alias(MODEL, alias, expected_revision=arguments[0]))
                case _:
                    client.delete_alias(MODEL, alias, expected_revision=arguments[0])
                    return 0, None
        except LOST as error:
            raise NoAnswer from error
        except StatusError as error:
            return refused(error.reason, error.metadata)

    def jobs(self, operation: Operation) -> Any:
        client = self._client
        what, *arguments = operation
        try:
            match what:
                case "submit":
                    job = client.train(MODEL, dataset="movielens-100k", request_id=arguments[0])
                    self.job_ids[arguments[0]] = job.job_id
                    return _told(job.info)
                case "get":
                    return _told(client.get_job(self.job_ids[arguments[0]]).info)
                case "cancel":
                    return client.cancel_job(self.job_ids[arguments[0]]).info.state.name
                case _:
                    return super().jobs(operation)
        except LOST as error:
            raise NoAnswer from error
        except FailedPreconditionError as finished:
            return finished.metadata["state"]


@contextmanager
def served(place: Place, address: str) -> Iterator[Served]:
    with place.open() as registry, Client(address, timeout=PATIENCE) as client:
        yield Served(registry, client)


def _named(alias: Alias) -> Any:
    return alias.revision, alias.targets[0].version


def _told(job: JobInfo) -> Any:
    return job.state.name, job.cancel_requested, job.attempt
