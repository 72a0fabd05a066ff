"""What a server tells the registry of itself: in order, and to the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from datetime import timedelta

import pytest

from mfserve_registry import Registry, ServingLease
from mfserve_registry.contact import Contact
from mfserve_registry.serving import ServingState
from mfserve_server.executors import Executors
from mfserve_server.reporting import Reporter
from mfserve_server.tally import Tally
from tests.waiting import until


def lease(version: int) -> ServingLease:
    return ServingLease("movies", version, "ab" * 32, ServingState.AVAILABLE)


def told(registry: Registry) -> list[int]:
    """The versions that the registry knows of."""
    return [lease.version for status in registry.serving.list() for lease in status.leases]


@pytest.fixture
async def executors() -> AsyncIterator[Executors]:
    opened = Executors(Contact())
    yield opened
    opened.close()


@pytest.fixture
def held() -> list[ServingLease]:
    return [lease(1)]


@pytest.fixture
def tally() -> Tally:
    return Tally()


@pytest.fixture
async def reporter(
    registry: Registry, executors: Executors, held: list[ServingLease], tally: Tally
) -> Reporter:
    return Reporter(
        registry,
        executors,
        worker=0,
        address="here",
        leases=held.copy,
        changes=asyncio.Event(),
        contact=Contact(),
        tally=tally,
    )


async def test_a_report_that_was_given_up_overtakes_no_later_one(
    reporter: Reporter,
    executors: Executors,
    registry: Registry,
    held: list[ServingLease],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun, go_on, heartbeat = threading.Event(), threading.Event(), registry.serving.heartbeat

    def slow(server_id: str, leases: Sequence[ServingLease], ttl: timedelta) -> None:
        begun.set()
        go_on.wait()
        heartbeat(server_id, leases, ttl)

    monkeypatch.setattr(registry.serving, "heartbeat", slow)
    given_up = asyncio.create_task(reporter.report())
    await asyncio.to_thread(begun.wait)
    given_up.cancel()
    held[:] = [lease(2)]
    monkeypatch.setattr(registry.serving, "heartbeat", heartbeat)
    later = asyncio.create_task(reporter.report())

    await until(lambda: executors._reporting._work_queue.qsize() == 1)
    go_on.set()
    await later
    assert told(registry) == [2]


async def test_a_defect_does_not_keep_a_server_from_signing_off(
    reporter: Reporter, registry: Registry, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    await reporter.report()
    assert told(registry) == [1]

    def fail(registry: Registry, server_id: str) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(tally, "report", fail)
    await reporter.withdraw()
    assert not registry.serving.list()
