"""Health on a port of its own, as probes ask for it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from itertools import product
from pathlib import Path

import pytest

from mfserve_registry import Registry
from mfserve_server.healthcheck import check
from mfserve_server.statuses import RECOMMENDATION, TRAINING
from tests.http2 import unread_call
from tests.integration.service import running_service
from tests.server.samples import publish
from tests.waiting import eventually


def test_it_says_what_the_server_processes_say_together(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with (
        Registry.open(home) as registry,
        running_service(home, "--no-trainer", "--health-port", "0", MFSERVE_NOTICE_SECONDS="3") as service,
        ExitStack() as calls,
    ):
        address = service.listens("answers health checks")

        def status(name: str = "") -> str:
            return check(address, name)

        assert (status(), status(RECOMMENDATION), status(TRAINING), status("nothing")) == (
            "NOT_SERVING",
            "NOT_SERVING",
            "SERVING",
            "NOT_FOUND",
        )
        # From here on there are callers who do not take their answers, and who only begin their calls.
        for method, message in product(("Check", "Watch"), (b"", None)):
            for _ in range(5):
                calls.enter_context(unread_call(address, f"/grpc.health.v1.Health/{method}", message))
        publish(registry)
        eventually(lambda: status() == status(RECOMMENDATION) == "SERVING", "the version answers")
        os.kill(service.workers[0], signal.SIGKILL)
        eventually(lambda: status() == status(TRAINING) == "NOT_SERVING", "the death is noticed")
        eventually(lambda: status() == status(TRAINING) == "SERVING", "another process answers")
        service.process.send_signal(signal.SIGTERM)
        eventually(lambda: status() == status(TRAINING) == "NOT_SERVING", "the drain is noticed")


@pytest.mark.parametrize("flag", ["--health-port", "--metrics-port"])
def test_a_port_that_is_taken_is_told(flag: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [
            sys.executable,
            "-m",
            "mfserve",
            "serve",
            "--home",
            str(tmp_path),
            "--port",
            "0",
            flag,
            port,
        ]
        found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == 1
    assert len(found.stderr.splitlines()) == 1
    assert port in found.stderr
