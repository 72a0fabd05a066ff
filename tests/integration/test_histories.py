"""What concurrent callers of a server see has an order, whoever of callers and server processes is killed meanwhile."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

import pytest

from tests.backends import KINDS, bucket, place_of, postgres
from tests.integration.served import served
from tests.integration.service import running_service
from tests.places import Place
from tests.registry.helpers import publish
from tests.registry.histories.objects import opened
from tests.registry.histories.recording import Client, Strike, kill, record
from tests.registry.histories.workloads import VERSIONS

__all__ = ["bucket", "postgres"]

CALLERS = 3
CALLS = 40


@pytest.fixture(params=KINDS)
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Place]:
    with place_of(request.param, tmp_path / "home", request) as place:
        with place.open() as registry:
            for number in range(VERSIONS):
                publish(registry, f"published-{number}")
        yield place


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.storm) for seed in range(1, 12))])
def test_there_is_an_order(place: Place, seed: int) -> None:
    """Callers of the server, and one of the registry itself. First aliases, then jobs, each with two deaths."""
    told = {"DATABASE_URL": place.database_url, "STORE_URL": place.store_url}
    environment = {f"MFSERVE_{name}": url for name, url in told.items() if url is not None}
    with running_service(place.home, "--no-trainer", "--workers", "2", **environment) as service:
        serves = partial(served, place, service.address)
        for on, worker in zip(("aliases", "jobs"), service.workers, strict=True):
            clients = [Client(f"caller {number}", serves, on, seed, CALLS) for number in range(CALLERS)]
            clients.append(Client("neighbour", partial(opened, place), on, seed, CALLS))
            first, second = Random(f"{on} {seed}").sample(range(len(clients), CALLERS * CALLS // 2), 2)
            strikes: dict[int, Strike] = {first: partial(end, worker), second: kill}
            record(clients, strikes).check(on)


def end(worker: int, _: BaseProcess) -> None:
    """A strike: a server process dies."""
    os.kill(worker, signal.SIGKILL)
