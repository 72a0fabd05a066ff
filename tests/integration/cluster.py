"""Two trainers and three servers, each with a home of its own, on one PostgreSQL and one bucket."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mfserve import Client
from tests.backends import Postgres
from tests.integration.oracle import Oracle
from tests.integration.service import RunningService, running_service
from tests.places import Place
from tests.trainer.trainers import Trainer, running_trainer

SERVERS = 3
TRAINERS = 2
LEASE_SECONDS = 3.0
"""Short: a test waits for the end of one."""
CALL_SECONDS = 60.0
"""Long: a busy machine is no bug."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """All of it, running, and a client of each server."""

    place: Place
    postgres: Postgres
    servers: tuple[RunningService, ...]
    trainers: tuple[Trainer, ...]
    clients: tuple[Client, ...]

    @property
    def homes(self) -> list[Path]:
        return [*(server.home for server in self.servers), *(trainer.log.parent for trainer in self.trainers)]

    @property
    def addresses(self) -> list[str]:
        return [server.address for server in self.servers]

    def oracle(self, digest: str) -> Oracle:
        """For a version that the first server was asked for."""
        return Oracle(self.servers[0].home / "cache" / "copies" / "snapshots" / digest)

    def trainer_of(self, worker: str) -> Trainer:
        """The trainer that calls itself so in the registry."""
        [found] = [trainer for trainer in self.trainers if worker.endswith(f":{trainer.process.pid}")]
        return found


@contextmanager
def running_cluster(folder: Path, place: Place, postgres: Postgres) -> Iterator[Cluster]:
    """Starts it, on the place's database and store, with homes in ``folder``."""
    assert place.database_url is not None
    assert place.store_url is not None
    with pytest.MonkeyPatch.context() as patch, ExitStack() as running:
        patch.setenv("MFSERVE_DATABASE_URL", place.database_url)
        patch.setenv("MFSERVE_STORE_URL", place.store_url)
        servers = [
            running.enter_context(running_service(folder / f"server-{number}", "--no-trainer"))
            for number in range(SERVERS)
        ]
        clients = [running.enter_context(Client(server.address, timeout=CALL_SECONDS)) for server in servers]
        trainers = []
        for number in range(TRAINERS):
            home = folder / f"trainer-{number}"
            home.mkdir()
            started = running_trainer(home, folder, lease_seconds=LEASE_SECONDS)
            trainers.append(running.enter_context(started))
        yield Cluster(place, postgres, tuple(servers), tuple(trainers), tuple(clients))
        for trainer in trainers:
            trainer.terminate()
