"""How long training takes: ``python -m benchmarks.training_speed``, after ``make peers``.

Two parts, each of which ``--only`` picks:

``defaults``: the default training of MovieLens 100K, both heads, stage by stage, once TensorFlow is imported.
``scale``: 16 million power-law ratings, 138,000 x 27,000, k = 64: engine ``ials`` and the peers on the same objective
(``benchmarks.speed.problem`` states it and the mapping). What counts is the time to the objective value that implicit's
conjugate-gradient ALS has after 10 iterations, from the ratings in memory on, each in a fresh process, one after the
other; and the memory of the trainer.

Every objective value in the result is computed from the factors by one independent function in float64.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.comparison.running import ENVIRONMENTS, installed
from benchmarks.speed.power_law import power_law
from benchmarks.speed.problem import Problem
from mfserve_registry.spec import BuiltinDataset, DatasetSpec, TrainingSpec

Figures = dict[str, Any]

REPOSITORY = Path(__file__).parent.parent
OURS = Path(sys.executable)
IMPLICIT = ENVIRONMENTS / "implicit" / "bin" / "python"
FULL = (138_000, 27_000, 16_000_000)
SMALL = (3_000, 600, 100_000)
CONFIDENCE, REGULARIZATION = 11.0, 0.01
"""α₀ = 0.1, as Rendle et al. 2021; implicit's own default."""
ITERATIONS = 10
MOST_SWEEPS = 15
REFITS = ("RATING_REFIT", "RANKING_REFIT", "REPORT", "PUBLISHING")


def main(given: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", choices=("defaults", "scale"))
    parser.add_argument(
        "--small", action="store_true", help="a problem that takes seconds, to try the procedure"
    )
    parser.add_argument("--runs", type=int, default=1, help="of each contestant at scale; the fastest counts")
    parser.add_argument(
        "--cholesky", action="store_true", help="also implicit's exact solver, which takes minutes"
    )
    parser.add_argument("--output", type=Path, help="file for the figures as JSON")
    arguments = parser.parse_args(given)
    if arguments.only != "defaults" and not installed("implicit"):
        raise SystemExit("no environment for implicit: run make peers")
    figures: Figures = {"cores": len(os.sched_getaffinity(0))}
    if arguments.only != "scale":
        figures["defaults"] = defaults()
        print(defaults_table(figures["defaults"]), flush=True)
    if arguments.only != "defaults":
        solvers = ["cg", "cholesky"] if arguments.cholesky else ["cg"]
        figures["scale"] = scale(SMALL if arguments.small else FULL, solvers, arguments.runs)
        print(scale_table(figures["scale"]), flush=True)
    if arguments.output:
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n")


def defaults() -> Figures:
    """The default training of MovieLens 100K."""
    dataset = DatasetSpec(source=BuiltinDataset(name="movielens-100k"))
    return job(dataset, TrainingSpec())


def job(dataset: DatasetSpec, spec: TrainingSpec, *roots: str) -> Figures:
    """A training, stage by stage, and its sums: all up to the evaluation, and what comes after."""
    figures = child("whole_job", dataset.model_dump_json(), spec.model_dump_json(), *roots)
    for part, in_refit in (("holdout", False), ("refit", True)):
        for unit in ("seconds", "cpu_seconds"):
            figures[f"{part}_{unit}"] = sum(
                stage[unit] for stage in figures["stages"] if (stage["stage"] in REFITS) == in_refit
            )
    return figures


def scale(shape: tuple[int, int, int], solvers: list[str], runs: int) -> Figures:
    """All contestants on one problem."""
    user, item = power_law(*shape, seed=0)
    item = np.unique(item, return_inverse=True)[1].astype(np.int32)  # codes without holes
    problem = Problem(user, item, factors=64, confidence=CONFIDENCE, regularization=REGULARIZATION)
    with tempfile.TemporaryDirectory(prefix="mfserve-speed-") as name:
        folder = Path(name)
        problem.save(folder)
        rows: list[Figures] = []

        def compete(label: str, factors: str, *command: str, python: Path = OURS) -> Figures:
            def run() -> Figures:
                figures = child(*command, python=python)
                # At once, as the next run writes its factors to the same files.
                return (
                    {"name": label} | figures | {"objective": problem.objective(*factors_of(folder, factors))}
                )

            rows.append(min((run() for _ in range(runs)), key=lambda one: float(one["seconds"])))
            return rows[-1]

        for solver in solvers:
            compete(
                f"implicit, {solver}", solver, "implicit_als", name, solver, str(ITERATIONS), python=IMPLICIT
            )
        peer = rows[0]
        # A first training finds how many sweeps are enough, the counted ones make so many.
        tried = child("mfserve_ials", name, str(MOST_SWEEPS))["passed"]
        sweeps = find_sweeps(tried, peer["objective"])
        ours = compete("mfserve ials", "ials", "mfserve_ials", name, str(sweeps or MOST_SWEEPS))
    return {
        "users": int(user.max()) + 1,
        "items": int(item.max()) + 1,
        "ratings": len(user),
        "rows": rows,
        "data_bytes": problem.data_bytes,
        "reached": sweeps is not None,
        "time_ratio": ours["seconds"] / peer["seconds"],
        "cpu_time_ratio": ours["cpu_seconds"] / peer["cpu_seconds"],
        "memory_ratio": ours["memory_bytes"] / problem.data_bytes,
    }


def find_sweeps(passed: list[Figures], target: float) -> int | None:
    """After how many the objective is at most the target; None where it never is."""
    return next((int(one["iteration"]) for one in passed if one["objective"] <= target), None)


def factors_of(folder: Path, name: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """P and Q, as a contestant left them."""
    return np.load(folder / f"{name}-users.npy"), np.load(folder / f"{name}-items.npy")


def child(module: str, *arguments: str, python: Path = OURS) -> Figures:
    """What ``benchmarks.speed.<module>`` prints, in a process of its own."""
    command = [str(python), "-m", f"benchmarks.speed.{module}", *arguments]
    done = subprocess.run(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True, timeout=1800
    )
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def defaults_table(figures: Figures) -> str:
    """The stages as Markdown."""
    rows = [
        (one["stage"].lower().replace("_", " "), one["seconds"], one["cpu_seconds"])
        for one in figures["stages"]
    ]
    rows += [
        (name, figures[f"{part}_seconds"], figures[f"{part}_cpu_seconds"])
        for name, part in (
            ("all up to the evaluation", "holdout"),
            ("the refit, the report and the snapshot", "refit"),
        )
    ]
    lines = ["| stage | seconds | CPU seconds |", "|---|---|---|"]
    return "\n".join(lines + [f"| {name} | {seconds:.2f} | {cpu:.2f} |" for name, seconds, cpu in rows])


def scale_table(figures: Figures) -> str:
    """The contestants as Markdown."""
    lines = ["| | iterations | seconds | CPU seconds | objective |", "|---|---|---|---|---|"]
    lines += [
        f"| {row['name']} | {len(row['passed'])} | {row['seconds']:.1f} | {row['cpu_seconds']:.1f} "
        f"| {row['objective']:.6e} |"
        for row in figures["rows"]
    ]
    if figures["reached"]:
        time = (
            f"Time to the objective value of implicit, cg: {figures['time_ratio']:.2f} times implicit's "
            f"(CPU time: {figures['cpu_time_ratio']:.2f} times)."
        )
    else:
        time = (
            f"MISSED: the objective value of implicit, cg, is not reached in {MOST_SWEEPS} sweeps, which take "
            f"{figures['time_ratio']:.2f} times implicit's time."
        )
    memory = (
        f"Memory of the trainer: {figures['memory_ratio']:.2f} times the {figures['data_bytes'] / 1e6:.0f} MB of "
        "ratings and factors."
    )
    return "\n".join([*lines, "", f"{time} {memory}"])


if __name__ == "__main__":
    main()
