"""A service of a benchmark's own, as a user would start it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def running(home: Path, *flags: str) -> Iterator[str]:
    """Runs ``mfserve serve`` on a free port of the loopback interface and yields its address."""
    command = [sys.executable, "-m", "mfserve", "serve", "--home", str(home), "--port", "0", "--json", *flags]
    with (home / "service.log").open("ab") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    try:
        yield json.loads(server.stdout.readline() if server.stdout else b"")["address"]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
