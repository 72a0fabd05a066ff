"""One approximate index: ``python -m benchmarks.search.index {build|search} FOLDER NAME THREADS``, in its environment.

``build`` makes the index of ``items.npy``. ``search`` opens it from its file and searches it for the users in
``users.npy``, with more and more effort until nearly all of ``truth.npy`` (int64, users x 10) is found. Each prints one
line of JSON; they are two processes, so that the memory of the second is that of a server.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.search.indexes import LIBRARIES, TOP, Index, Library, own_bytes, size_of

ENOUGH = 0.995
"""Recall at which more effort is not tried."""
SINGLE = 128
"""Users asked one by one."""


def main() -> None:
    what, folder, name, threads = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    library = next(one for one in LIBRARIES if one.name == name)
    print(json.dumps((build if what == "build" else search)(library, folder, threads)))


def build(library: Library, folder: Path, threads: int) -> dict[str, Any]:
    """Seconds that building takes, saving included, and the size of what was saved."""
    items = np.load(folder / "items.npy")
    began = time.perf_counter()
    library.build(items, threads, folder / "index")
    return {"build_seconds": time.perf_counter() - began, "bytes": size_of(folder / "index")}


def search(library: Library, folder: Path, threads: int) -> dict[str, Any]:
    """The times with each effort, and the memory that every worker would need for itself."""
    users, truth = np.load(folder / "users.npy"), np.load(folder / "truth.npy")
    before = own_bytes()
    index = library.open(folder / "index")
    index.search(users[:1], index.efforts[0], 1)
    own = own_bytes() - before
    return {"own_bytes": own, "efforts": sweep(index, users, truth, threads)}


def sweep(index: Index, users: Any, truth: Any, threads: int) -> list[dict[str, float]]:
    """For each effort: recall, seconds for one user on one core, seconds a user in a batch."""
    found = []
    for effort in index.efforts:
        index.search(users[:16], effort, threads)
        began = time.perf_counter()
        items = index.search(users, effort, threads)
        batch = (time.perf_counter() - began) / len(users)
        single = []
        for row in range(SINGLE):
            began = time.perf_counter()
            index.search(users[row : row + 1], effort, 1)
            single.append(time.perf_counter() - began)
        hits = sum(len(np.intersect1d(*rows)) for rows in zip(items, truth, strict=True))
        recall = hits / (TOP * len(users))
        found.append({"effort": effort, "recall": recall, "single": float(np.median(single)), "batch": batch})
        if recall >= ENOUGH:
            break
    return found


if __name__ == "__main__":
    main()
