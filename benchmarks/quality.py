"""Errors and rankings of mfserve and of its peers, on the same splits: ``python -m benchmarks.quality``.

Random 80/20 splits (scikit-learn's, seeds 0 to 4). Everybody trains on the 80 % in a process and an environment of
their own, one at a time (``make peers`` makes the environments); what they say of the 20 % is measured here by the
same code for all. mfserve is measured as it is served: see ``benchmarks/peers/mfserve.py``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.comparison.lines import LINES, Line
from benchmarks.comparison.measures import ranking_figures, rating_figures
from benchmarks.comparison.running import PeerFailed, missing, run, tell_left_out, versions
from benchmarks.comparison.splits import load_dataset, random_split
from benchmarks.comparison.tables import markdown, merged, show, tables
from mfserve_trainer.ratings import Ratings

DATASETS = ("movielens-100k", "movielens-latest-small")
PEERS = tuple(dict.fromkeys(line.peer for line in LINES))
QUICK = ("mfserve", "baseline", "implicit")


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    if options.tables:
        results = merged([json.loads(file.read_text("utf-8")) for file in options.tables])
    else:
        lines = [line for line in LINES if line.peer in options.peers]
        if absent := missing(lines):
            raise SystemExit(f"no environment for {', '.join(sorted(absent))}: run make peers")
        tell_left_out(set(PEERS) - set(options.peers))
        results = {
            "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
            "versions": versions(lines),
            "datasets": {
                name: compare(
                    load_dataset(name, options.latest_small if name == "movielens-latest-small" else None),
                    options.seeds,
                    lines,
                    options.limit,
                )
                for name in options.datasets
            },
        }  # fmt: skip
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    if options.markdown:
        print(markdown(tables(results)))
    else:
        show(tables(results))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=list(DATASETS))
    parser.add_argument(
        "--latest-small",
        type=Path,
        metavar="FOLDER",
        help="read MovieLens latest-small from FOLDER/ratings.csv",
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument(
        "--quick", action="store_true", help=f"seed 0 of the first data set, {', '.join(QUICK)}"
    )
    parser.add_argument("--limit", type=float, default=1800, help="seconds that one process may take")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--markdown", action="store_true", help="print the tables of docs/benchmarks.md")
    parser.add_argument(
        "--tables",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="run nothing: put earlier runs' --json together",
    )
    options = parser.parse_args(arguments)
    if options.quick:
        options.datasets, options.seeds, options.peers = [DATASETS[0]], [0], list(QUICK)
    return options


def compare(ratings: Ratings, seeds: Sequence[int], lines: Sequence[Line], limit: float) -> dict[str, Any]:
    """Figures of each line on each split: ``{"rating": {line: [split, …]}, "ranking": {line: [split, …]}}``."""
    found: dict[str, dict[str, list[dict[str, float]]]] = {"rating": {}, "ranking": {}}
    with tempfile.TemporaryDirectory(prefix="mfserve-quality-") as name:
        folder = Path(name)
        for seed in seeds:
            split = random_split(ratings, seed)
            split.task.save(folder / "task.npz")
            for line in lines:
                began = time.perf_counter()
                try:
                    answer = run(line, folder / "task.npz", folder, limit)
                except PeerFailed as failure:
                    raise SystemExit(str(failure)) from failure
                for head, figures in (
                    ("rating", rating_figures(answer, split)),
                    ("ranking", ranking_figures(answer, split)),
                ):
                    if figures:
                        found[head].setdefault(line.name, []).append({"seed": seed} | figures)
                took = time.perf_counter() - began
                print(f"{ratings.name}, seed {seed}: {line.name} ({took:.0f} s)", file=sys.stderr, flush=True)
    return found


if __name__ == "__main__":
    main()
