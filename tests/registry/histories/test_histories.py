"""Concurrent clients of aliases and jobs see what they could have seen one after another, also where some die."""

from __future__ import annotations

import signal
from functools import partial
from random import Random
from typing import Any

import pytest

from tests.places import Place
from tests.registry.helpers import publish
from tests.registry.histories.checker import NotLinearizable, Operation
from tests.registry.histories.objects import DoubleClaims, Opened, StaleReads, TornSwaps, opened
from tests.registry.histories.recording import Client, History, kill, record
from tests.registry.histories.workloads import VERSIONS

CLIENTS = 4
CALLS = 50

on_folder = pytest.mark.parametrize("place", ["sqlite-folder"], indirect=True)
seeds = pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.storm) for seed in range(1, 50))]
)


@pytest.fixture
def published(place: Place) -> Place:
    """A registry with a model whose versions the aliases may name."""
    with place.open() as registry:
        for number in range(VERSIONS):
            publish(registry, f"published-{number}")
    return place


def run(place: Place, on: str, seed: int, kind: type[Opened] = Opened, kills: int = 0) -> History:
    clients = [
        Client(f"client {number}", partial(opened, place, kind), on, seed, CALLS) for number in range(CLIENTS)
    ]
    deaths = Random(seed).sample(range(CLIENTS, CLIENTS * CALLS // 2), kills)
    return record(clients, dict.fromkeys(deaths, kill))


@seeds
@pytest.mark.parametrize("on", ["aliases", "jobs"])
def test_there_is_an_order(published: Place, on: str, seed: int) -> None:
    run(published, on, seed, kills=2).check(on)


@on_folder
@pytest.mark.parametrize(
    ("on", "defect"), [("aliases", StaleReads), ("aliases", TornSwaps), ("jobs", DoubleClaims)]
)
def test_a_defect_is_found(published: Place, on: str, defect: type[Opened]) -> None:
    with pytest.raises(NotLinearizable):
        run(published, on, 1, defect).check(on)


class Silent(Opened):
    """Does nothing, for ever."""

    def aliases(self, operation: Operation) -> Any:
        signal.pause()


@on_folder
def test_call_of_a_killed_client_is_in_the_history_without_an_end(published: Place) -> None:
    history = record([Client("client", partial(opened, published, Silent), "aliases", 1, CALLS)], {1: kill})
    [call] = history.calls
    assert call.ended is None
    history.check("aliases")
