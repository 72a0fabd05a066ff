"""One contestant: ``python -m benchmarks.search.contestant FOLDER NAME THREADS``, in its own environment.

It searches ``items.npy`` of the folder for the users in ``users.npy`` whenever it is told to: a line of JSON on its
standard input is a ``Turn``, the answer is a line of JSON. The caller lets the contestants take turns, so that what the
machine does meanwhile hits them all.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search.contestants import EXACT, Floats, Search


@dataclass(frozen=True, slots=True)
class Turn:
    """So many calls with the next ``batch`` users each, from user ``first`` on; after the last comes the first."""

    first: int
    batch: int
    calls: int


def main() -> None:
    folder, name, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    items = np.load(folder / "items.npy", mmap_mode="r")
    users = np.load(folder / "users.npy")
    make = next(one.make for one in EXACT if one.name == name)
    search = make(items, threads)
    print("{}", flush=True)
    for line in sys.stdin:
        print(json.dumps(take(Turn(**json.loads(line)), search, users)), flush=True)


def take(turn: Turn, search: Search, users: Floats) -> dict[str, Any]:
    """The seconds of each call, and what was found for the first batch, which is searched once before it counts."""
    batches = [
        np.take(users, np.arange(start, start + turn.batch), axis=0, mode="wrap")
        for start in range(turn.first, turn.first + turn.calls * turn.batch, turn.batch)
    ]
    found = search(batches[0])
    seconds = []
    for batch in batches:
        began = time.perf_counter()
        search(batch)
        seconds.append(time.perf_counter() - began)
    return {"seconds": seconds, "found": found.tolist()}


if __name__ == "__main__":
    main()
