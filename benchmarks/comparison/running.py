"""Runs one line on one split, in a process of its own, in the peer's own environment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from benchmarks.comparison.lines import MODULES, Line
from benchmarks.peers.exchange import Answer

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENTS = ROOT / ".venv-peers"


class PeerFailed(Exception):
    """A peer gave no answer; the text says which, and how its process ended."""


def python_of(line: Line) -> Path:
    """The interpreter that a line runs in."""
    return Path(sys.executable) if line.package is None else ENVIRONMENTS / line.peer / "bin" / "python"


def installed(peer: str) -> bool:
    """Whether ``make peers`` has finished this peer's environment, and not only begun it."""
    return (ENVIRONMENTS / peer / ".installed").is_file()


def tell_left_out(peers: Iterable[str]) -> None:
    """Says whom the tables do not show, so that nobody takes them for the whole comparison."""
    if names := ", ".join(sorted(peers)):
        print(f"left out: {names}", file=sys.stderr, flush=True)


def missing(lines: Iterable[Line]) -> set[str]:
    """The peers whose environment is not there."""
    return {line.peer for line in lines if line.package is not None and not installed(line.peer)}


def versions(lines: Iterable[Line]) -> dict[str, str]:
    """The version of each peer's package, by package."""
    packages = {line.package: python_of(line) for line in lines if line.package is not None}
    ask = "import sys, importlib.metadata as m; print(m.version(sys.argv[1]))"
    found = {
        package: subprocess.run(
            [python, "-c", ask, package], capture_output=True, text=True, check=True
        ).stdout.strip()
        for package, python in packages.items()
    }
    return {"mfserve": version("mfserve")} | found


def run(line: Line, task: Path, folder: Path, limit_seconds: float) -> Answer:
    """What the line makes of the task in ``task``; ``folder`` takes its files.

    Raises:
        PeerFailed: its process failed, or took longer than the limit.
    """
    into, log = folder / "answer.npz", folder / "log.txt"
    into.unlink(missing_ok=True)
    module = f"benchmarks.peers.{MODULES.get(line.peer, line.peer)}"
    # Their warnings are not ours; what a failure needs is in the log.
    command: list[str | Path] = [python_of(line), "-W", "ignore", "-m", module, task, into, line.setting]
    environment = {**os.environ, "PYSPARK_PYTHON": str(python_of(line))}
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, process_group=0
        )
    try:
        code = process.wait(limit_seconds)
    except subprocess.TimeoutExpired as error:
        raise PeerFailed(f"{line.name}: more than {limit_seconds:.0f} s") from error
    finally:
        if process.poll() is None:  # with what it has started: a server, a Java machine
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code:
        raise PeerFailed(f"{line.name}: exit code {code}\n{log.read_text(errors='replace')[-4000:]}")
    return Answer.load(into)
