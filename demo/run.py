"""The tour behind ``make demo``: serve, train, recommend, predict, measure; each step is a command you can type.

Everything it makes lies in ``.demo/`` inside the checkout, except the data set, which stays in the user's cache
folder for the next time. The server listens on a free port of the loopback interface and is stopped at the end.
"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent / ".demo"
MFSERVE = [sys.executable, "-m", "mfserve"]
STOP_SECONDS = 30.0


@contextmanager
def serving() -> Iterator[str]:
    """Runs ``mfserve serve``, which brings a trainer along, and yields its address."""
    HOME.mkdir(exist_ok=True)
    command = [*MFSERVE, "serve", "--home", str(HOME), "--port", "0", "--json"]
    show(["mfserve", "serve", "--home", HOME.name, "--port", "0"])
    with (HOME / "server.log").open("wb") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log)
    try:
        ready = server.stdout.readline() if server.stdout else b""
        if not ready:
            raise SystemExit(f"the server did not start; see {HOME / 'server.log'}")
        yield json.loads(ready)["address"]
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def show(command: list[str]) -> None:
    print(f"\n$ {shlex.join(command)}", flush=True)


def mfserve(*arguments: str) -> None:
    """Shows and runs one command line; a failure ends the demo with its exit code."""
    show(["mfserve", *arguments])
    finished = subprocess.run([*MFSERVE, *arguments], check=False)
    if finished.returncode:
        raise SystemExit(finished.returncode)


def main() -> None:
    with serving() as address:
        os.environ["MFSERVE_ADDRESS"] = address
        mfserve("train", "movies", "movielens-100k", "--promote-to", "production", "--wait")
        mfserve("recommend", "movies", "196", "--limit", "10")
        mfserve("predict", "movies", "196", "242")
        mfserve("similar", "movies", "50", "--limit", "5")
        mfserve("versions", "movies", "production")
        mfserve("status")
    print(
        f"\nStopped. The registry stays in {HOME.name}/: `mfserve serve --home {HOME.name}` serves it again."
    )


if __name__ == "__main__":
    main()
