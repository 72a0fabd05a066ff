"""Approximate indexes beside the exact search: building, size, memory, and the times at given recalls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison.running import ENVIRONMENTS, ROOT
from benchmarks.comparison.tables import Shown
from benchmarks.search.contest import contest
from benchmarks.search.contestants import BARE, EXACT, OURS, TOP
from benchmarks.search.indexes import LIBRARIES
from mfserve_scoring.topk import ExactTopK

RECALLS = (0.9, 0.95, 0.99)
USERS = 256

Figures = dict[str, Any]


def compare(part: str, folder: Path, threads: int, runs: int) -> Figures:
    """Everybody on the factors in ``folder``; its users are cut down to ``USERS``."""
    items, users = np.load(folder / "items.npy"), np.load(folder / "users.npy")[:USERS]
    np.save(folder / "users.npy", users)
    truth = ExactTopK(items).search(users, TOP).indices.reshape(len(users), TOP)
    np.save(folder / "truth.npy", truth.astype(np.int64))
    exact = [one for one in EXACT if one.name in {BARE, OURS}]
    single = contest(folder, exact, threads=1, calls={1: 64}, runs=runs)[1]
    batch = contest(folder, exact, threads=threads, calls={len(users): 1}, runs=runs)[len(users)]
    return {
        "part": part,
        "items": len(items),
        "factors": items.shape[1],
        "threads": threads,
        "exact": {
            one.name: {"single": single[one.name].median, "batch": batch[one.name].median / len(users)}
            for one in exact
        },
        "libraries": {one.name: _library(folder, one.name, threads) for one in LIBRARIES},
    }


def _library(folder: Path, name: str, threads: int) -> Figures:
    index = folder / "index"
    if index.is_dir():
        shutil.rmtree(index)
    index.unlink(missing_ok=True)
    return _child("build", folder, name, threads) | _child("search", folder, name, threads)


def _child(what: str, folder: Path, name: str, threads: int) -> Figures:
    python = ENVIRONMENTS / "search" / "bin" / "python"
    command = [str(python), "-m", "benchmarks.search.index", what, str(folder), name, str(threads)]
    limit = {variable: str(threads) for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS")}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | limit, stdout=subprocess.PIPE, text=True, check=True
    )
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def table(figures: Figures) -> Shown:
    """Microseconds for one user, and for each user of a batch, at the least effort that reaches each recall."""
    columns = [
        "",
        "build, s",
        "file, MB",
        "own memory, MB",
        *(f"at {recall}: single / batch, µs" for recall in RECALLS),
    ]
    rows = [
        [f"exact: {name}", "", "", "", *(3 * [_times(times)])] for name, times in figures["exact"].items()
    ]
    for name, found in figures["libraries"].items():
        cells = [
            next((_times(one) for one in found["efforts"] if one["recall"] >= recall), "not reached")
            for recall in RECALLS
        ]
        sizes = [f"{found['bytes'] / 1e6:.0f}", f"{found['own_bytes'] / 1e6:.0f}"]
        rows.append([name, f"{found['build_seconds']:.1f}", *sizes, *cells])
    title = f"Approximate indexes: {figures['part']}, {figures['items']:,} x {figures['factors']}"
    return Shown(f"{title}, threads: {figures['threads']}", columns, rows)


def _times(times: dict[str, float]) -> str:
    return f"{1e6 * times['single']:.0f} / {1e6 * times['batch']:.0f}"
