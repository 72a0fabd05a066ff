"""A PostgreSQL does not outlive the test process that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.keeper import postgres_folder
from tests.waiting import eventually


def stand_in(folder: Path) -> int:
    """Starts a process that says in ``folder`` that it is the server; its id."""
    (folder / "data").mkdir()
    # As PostgreSQL it heeds SIGQUIT, also where a shell that started the tests in the background has it ignored.
    program = (
        "import signal; signal.signal(signal.SIGQUIT, signal.SIG_DFL); print(flush=True); signal.pause()"
    )
    server = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert server.stdout is not None
    server.stdout.readline()
    (folder / "data" / "postmaster.pid").write_text(f"{server.pid}\n{folder}\n")
    return server.pid


def start_and_die(ending: signal.Signals) -> None:
    """What the killed process of the test does."""
    with postgres_folder() as folder:
        sys.stdout.write(f"{stand_in(folder)} {folder}\n")
        sys.stdout.flush()
        os.kill(os.getpid(), ending)


@pytest.mark.parametrize("ending", ["SIGTERM", "SIGKILL"])
def test_server_and_folder_are_gone_with_the_process(ending: str) -> None:
    program = f"import signal; from tests.test_keeper import *; start_and_die(signal.{ending})"
    killed = subprocess.run(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert killed.returncode == -signal.Signals[ending]
    server, folder = killed.stdout.split()
    eventually(lambda: not Path(folder).exists(), "the folder is gone")
    assert not psutil.pid_exists(int(server))
