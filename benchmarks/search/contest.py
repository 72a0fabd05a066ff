"""Lets contestants search the same items for the same users, by turns, each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison.running import ENVIRONMENTS, ROOT
from benchmarks.search.contestant import Turn
from benchmarks.search.contestants import Contestant

REST = 0.05
"""Seconds between two turns: idle threads of OpenBLAS and OpenMP go on spinning for a while before they sleep."""


@dataclass(slots=True)
class Times:
    """Of one contestant with one batch size.

    Attributes:
        turns: for each turn, the seconds of each call.
        found: for each turn, the best items of its first batch.
    """

    turns: list[list[float]] = field(default_factory=list)
    found: list[list[list[int]]] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Seconds of a call: the median over the turns of their medians."""
        return float(np.median([np.median(turn) for turn in self.turns]))

    @property
    def p90(self) -> float:
        """Nine calls of ten took less."""
        return float(np.quantile(np.concatenate(self.turns), 0.9))


def contest(
    folder: Path, contestants: Sequence[Contestant], *, threads: int, calls: dict[int, int], runs: int
) -> dict[int, dict[str, Times]]:
    """The times by batch size, then by contestant.

    Args:
        folder: with ``items.npy`` (float32, n x k) and ``users.npy`` (float32, any x k).
        contestants: who takes part.
        threads: of BLAS, or whatever a contestant computes with.
        calls: in a turn, by batch size.
        runs: turns of each contestant with each batch size.
    """
    times = {batch: {one.name: Times() for one in contestants} for batch in calls}
    with ExitStack() as stack:
        processes = {one.name: stack.enter_context(process(folder, one, threads)) for one in contestants}
        for batch, many in calls.items():
            for run in range(runs):
                turn = Turn(first=run * many * batch, batch=batch, calls=many)
                for name, contestant in processes.items():
                    time.sleep(REST)
                    answer = ask(contestant, turn)
                    times[batch][name].turns.append(answer["seconds"])
                    times[batch][name].found.append(answer["found"])
    return times


def disagreement(times: dict[str, Times], exact: str) -> str | None:
    """Who found other items than ``exact``, of those that found any; float32 may order two of them otherwise."""
    truth = [[sorted(row) for row in turn] for turn in times[exact].found]
    for name, its in times.items():
        rows = [[sorted(row) for row in turn] for turn in its.found if turn]
        if rows and rows != truth:
            return name
    return None


@contextmanager
def process(folder: Path, contestant: Contestant, threads: int) -> Iterator[subprocess.Popen[str]]:
    """A contestant that is ready to take turns."""
    python = python_of(contestant)
    command = [str(python), "-m", "benchmarks.search.contestant", str(folder), contestant.name, str(threads)]
    limit = {name: str(threads) for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | limit,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            answered(child)
            yield child
        finally:
            child.kill()


def ask(child: subprocess.Popen[str], turn: Turn) -> dict[str, Any]:
    """Has the contestant take a turn."""
    assert child.stdin is not None
    child.stdin.write(json.dumps(asdict(turn)) + "\n")
    child.stdin.flush()
    return answered(child)


def answered(child: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line of a contestant."""
    assert child.stdout is not None
    line = child.stdout.readline()
    if not line:
        raise RuntimeError(f"{child.args!r} ended with exit code {child.wait()}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def python_of(contestant: Contestant) -> Path:
    """The interpreter that it runs in."""
    if contestant.peer is None:
        return Path(sys.executable)
    return ENVIRONMENTS / contestant.peer / "bin" / "python"
