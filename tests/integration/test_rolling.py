"""One server process is killed, all are replaced, and callers notice nothing."""

from __future__ import annotations

import os
import signal
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mfserve import Client
from mfserve_registry import Registry
from tests.integration.service import RunningService, running_service
from tests.server.samples import publish
from tests.waiting import eventually


@pytest.fixture
def service(tmp_path: Path):  # type: ignore[no-untyped-def]
    home = tmp_path / "home"
    with Registry.open(home) as registry:
        publish(registry)
    with running_service(home, "--no-trainer", "--workers", "2", "--metrics-port", "0") as running:
        yield running


def pids(service: RunningService) -> set[int]:
    with Client(service.address) as client:
        return {server.pid for server in client.serving_status().servers}


def test_callers_notice_neither_a_death_nor_a_rolling_restart(service: RunningService) -> None:
    over = threading.Event()

    def caller(number: int) -> int:
        """Unary calls and streams by turns until the end; how many."""
        calls = 0
        with Client(service.address) as client:
            while not over.is_set():
                assert client.recommend("movies", f"u{number}").served_version.version == 1
                assert len(list(client.stream_recommend("movies", ["u1", "u2"]))) == 2
                calls += 2
        return calls

    with ThreadPoolExecutor(8) as pool:
        callers = [pool.submit(caller, number) for number in range(8)]
        try:
            os.kill(service.workers[0], signal.SIGKILL)
            eventually(lambda: len(pids(service) - {service.workers[0]}) == 2, "another one answers")
            assert restarts(service) == 1
            before = pids(service)
            service.process.send_signal(signal.SIGHUP)
            eventually(lambda: "has replaced its server processes" in log(service), "all are replaced")
            after = pids(service)
            assert len(after) == 2
            assert not after & before
            assert restarts(service) == 1
        finally:
            over.set()
        assert all(each.result() for each in callers)


def restarts(service: RunningService) -> int:
    with urllib.request.urlopen(
        f"http://{service.listens('exports metrics')}/metrics", timeout=30
    ) as response:
        (line,) = [line for line in response if line.startswith(b"mfserve_worker_restarts_total ")]
    return int(float(line.split()[1]))


def log(service: RunningService) -> str:
    return (service.home / "service.log").read_text()
