"""How long the best items take to find: ``python -m benchmarks.topk``, after ``make peers``.

Exact maximum inner product, the best 10, float32. Two parts, each of which ``--only`` picks:

``random``: normal factors, which no search can prune, for one user and for 256 at a time.
``trained``: factors that ``ials`` made of the synthetic ratings of ``benchmarks.training_speed``, for one user (many of
them: the median and what nine of ten take less than) and for 256.

A third is run on request alone (``--only approximate``): the indexes of other libraries beside the exact search, on
200,000 items with random and with trained factors. What they took to build, the size of the file, the memory that every
worker needs for itself, and the times at recall@10 of 0.90, 0.95 and 0.99.

Beside mfserve: the bare matrix product, numpy's argpartition, FAISS and implicit. Each has a process of its own, in its
own environment, and the same factors; they take turns, and what counts is the median of the turns.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.comparison.running import ROOT, installed, tell_left_out
from benchmarks.comparison.tables import Shown, markdown, show
from benchmarks.search import approximate
from benchmarks.search.contest import Times, contest, disagreement
from benchmarks.search.contestants import BARE, EXACT, FAISS, IMPLICIT, OURS, Contestant

BATCH = 256
PEERS = ("search", "implicit")
PARTS = ("random", "trained")
APPROXIMATE = "approximate"
CATALOGUE = 200_000
"""Items of the approximate part."""
RATINGS = 16_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """Random factors, and how many calls a turn has for one user and for a batch."""

    items: int
    factors: int
    single: int
    batches: int

    def write(self, folder: Path) -> None:
        random = np.random.default_rng(0)
        for name, rows in (("items", self.items), ("users", 4 * BATCH)):
            np.save(folder / f"{name}.npy", random.standard_normal((rows, self.factors), dtype=np.float32))


SHAPES = (Shape(1_682, 20, 500, 50), Shape(100_000, 64, 100, 3), Shape(1_000_000, 64, 20, 1))
SMALL = (Shape(300, 8, 3, 2),)


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=[*PARTS, APPROXIMATE])
    parser.add_argument("--runs", type=int, default=7, help="turns of each contestant")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="of BLAS and the like")
    parser.add_argument(
        "--trained-ratings",
        type=int,
        default=RATINGS,
        help="of the synthetic set, users and items in proportion",
    )
    parser.add_argument(
        "--quick", action="store_true", help="a few seconds, with the peers that are installed"
    )
    parser.add_argument("--markdown", action="store_true", help="the tables as docs/benchmarks.md has them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keeps the figures")
    options = parser.parse_args(given)
    missing = [peer for peer in PEERS if not installed(peer)]
    if missing and not options.quick:
        raise SystemExit(f"no environment for {', '.join(missing)}: run make peers")
    if options.only == APPROXIMATE:
        approximately(options)
        return
    contestants = [one for one in EXACT if one.peer not in missing]
    tell_left_out(one.name for one in EXACT if one not in contestants)
    rows: list[Row] = []
    for part in PARTS if options.only is None else [options.only]:
        rows += (random if part == "random" else trained)(contestants, options)
    shown = tables(rows, contestants)
    if options.markdown:
        print(markdown(shown))
    else:
        show(shown)
    if not options.quick:  # what is promised holds for the full sizes
        print("\n".join(verdicts(rows)))
    if options.json:
        figures = {"cores": len(os.sched_getaffinity(0)), "rows": [row.figures() for row in rows]}
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def approximately(options: argparse.Namespace) -> None:
    """The indexes, on random factors and on trained ones."""
    figures = []
    for part in PARTS:
        with tempfile.TemporaryDirectory(prefix="mfserve-topk-") as name:
            if part == "random":
                Shape(CATALOGUE, 64, 1, 1).write(Path(name))
            else:
                train(Path(name), [138_000, CATALOGUE, options.trained_ratings])
            figures.append(approximate.compare(part, Path(name), options.threads[-1], options.runs))
        shown = [approximate.table(figures[-1])]
        if options.markdown:
            print(markdown(shown))
        else:
            show(shown)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


def train(folder: Path, shape: Sequence[int]) -> None:
    """Users, items and ratings of the synthetic set."""
    command = [sys.executable, "-m", "benchmarks.search.trained", str(folder), *map(str, shape)]
    subprocess.run(command, cwd=ROOT, check=True)


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one matrix of items, number of threads and batch size."""

    part: str
    items: int
    factors: int
    threads: int
    batch: int
    times: dict[str, Times]

    def ratio(self, name: str, other: str) -> float:
        """How many times as long as ``other`` the contestant takes."""
        return self.times[name].median / self.times[other].median

    def figures(self) -> dict[str, Any]:
        return {
            "part": self.part,
            "items": self.items,
            "factors": self.factors,
            "threads": self.threads,
            "batch": self.batch,
            "seconds": {name: its.median for name, its in self.times.items()},
            "p90_seconds": {name: its.p90 for name, its in self.times.items()},
            "turns": {name: its.turns for name, its in self.times.items()},
        }


def random(contestants: Sequence[Contestant], options: argparse.Namespace) -> Iterator[Row]:
    """Normal factors of several sizes."""
    for shape in SMALL if options.quick else SHAPES:
        with tempfile.TemporaryDirectory(prefix="mfserve-topk-") as name:
            shape.write(Path(name))
            calls = {1: shape.single, BATCH: shape.batches}
            yield from measure("random", Path(name), contestants, calls, options)


def trained(contestants: Sequence[Contestant], options: argparse.Namespace) -> Iterator[Row]:
    """Factors of the power-law ratings."""
    share = options.trained_ratings / RATINGS
    shape = [round(138_000 * share), round(27_000 * share), options.trained_ratings]
    if options.quick:
        shape = [600, 200, 8_000]
    with tempfile.TemporaryDirectory(prefix="mfserve-topk-") as name:
        train(Path(name), shape)
        calls = {1: 20, BATCH: 1} if options.quick else {1: 128, BATCH: 2}
        yield from measure("trained", Path(name), contestants, calls, options)


def measure(
    part: str,
    folder: Path,
    contestants: Sequence[Contestant],
    calls: dict[int, int],
    options: argparse.Namespace,
) -> Iterator[Row]:
    """Everybody with each number of threads; SystemExit where somebody finds other items than we do."""
    items, factors = np.load(folder / "items.npy", mmap_mode="r").shape
    for threads in options.threads:
        found = contest(folder, contestants, threads=threads, calls=calls, runs=options.runs)
        for batch, times in found.items():
            if (name := disagreement(times, OURS)) is not None:
                raise SystemExit(f"{part}, {items} x {factors}: {name} finds other items than {OURS}")
            print(
                f"{part}: {items} x {factors}, {threads} threads, batch {batch}", file=sys.stderr, flush=True
            )
            yield Row(part, items, factors, threads, batch, times)


def tables(rows: Sequence[Row], contestants: Sequence[Contestant]) -> list[Shown]:
    """Milliseconds a call, with one number of threads a table; and mfserve's slower tenth, for one user."""
    names = [one.name for one in contestants]
    columns = ["items x k, batch", *names, f"{OURS} / {BARE}", f"{OURS}, p90"]
    shown = []
    for threads in dict.fromkeys(row.threads for row in rows):
        lines = [
            [
                f"{row.part}, {row.items:,} x {row.factors}, {row.batch}",
                *(f"{milliseconds(row.times[name].median)}" for name in names),
                f"{row.ratio(OURS, BARE):.2f}",
                milliseconds(row.times[OURS].p90),
            ]
            for row in rows
            if row.threads == threads
        ]
        shown.append(Shown(f"Milliseconds for the best 10, BLAS threads: {threads}", columns, lines))
    return shown


def milliseconds(seconds: float) -> str:
    """Three digits, without an exponent."""
    number = 1e3 * seconds
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def verdicts(rows: Sequence[Row]) -> list[str]:
    """What is promised, beside what was found."""
    found = []
    for row in rows:
        name = f"{row.part}, {row.items:,} x {row.factors}, batch {row.batch}, threads {row.threads}"
        bare = row.ratio(OURS, BARE)
        if row.items == SHAPES[-1].items and row.batch == BATCH:
            found.append(f"{name}: {bare:.2f} times the bare product (at most 1.25)")
            found += [
                f"{name}: {other} takes {row.ratio(other, OURS):.1f} times as long (at least {least})"
                for other, least in ((FAISS, 3.0), (IMPLICIT, 1.5))
                if other in row.times
            ]
        if row.part == "trained" and row.batch == 1:
            found.append(f"{name}: {bare:.2f} times the bare product (below 1)")
    return found


if __name__ == "__main__":
    main()
