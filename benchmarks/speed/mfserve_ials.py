"""Engine ``ials`` on a problem, in a process of its own: ``python -m benchmarks.speed.mfserve_ials FOLDER SWEEPS``.

Writes the factors, in the scale of the problem's objective, to FOLDER and prints one JSON object. Times go from ratings
in memory to the trained head, the first that the process trains; TensorFlow is imported before.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.speed.memory import peak_bytes
from benchmarks.speed.problem import Problem
from mfserve_registry.spec import IalsConfig, RatingScale
from mfserve_trainer.engines import Epoch, fit_ranking
from mfserve_trainer.fit_process import import_tensorflow
from mfserve_trainer.ratings import Ratings, from_codes

SCALE = RatingScale(minimum=0.0, maximum=1.0)
"""Every rating is 1, the highest, whose target is 1."""


def main() -> None:
    folder, sweeps = Path(sys.argv[1]), int(sys.argv[2])
    import_tensorflow()
    imported = peak_bytes()
    problem = Problem.load(folder)
    ratings = _ratings(problem)
    nothing = np.empty(0, dtype=np.int32)
    # The pairs are in the ratings: not twice in memory.
    problem = replace(problem, user=nothing, item=nothing)
    config = IalsConfig(
        factors=problem.factors,
        iterations=sweeps,
        regularization=problem.ials_regularization,
        unobserved_weight=problem.unobserved_weight,
        frequency_exponent=0.0,
    )
    passed: list[dict[str, float]] = []

    def after(epoch: Epoch) -> None:
        objective = problem.objective_of_ials(epoch.metrics["loss"], len(ratings))
        passed.append(
            {"iteration": epoch.number, "seconds": time.perf_counter() - began, "objective": objective}
        )

    began, began_cpu = time.perf_counter(), time.process_time()
    head = fit_ranking(ratings, config, seed=0, report=after).head
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
    peak = peak_bytes()

    np.save(folder / "ials-users.npy", head.user_factors * np.float32(problem.ials_scale))
    np.save(folder / "ials-items.npy", head.item_factors * np.float32(problem.ials_scale))
    figures = {
        "passed": passed,
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "memory_bytes": peak - imported,
    }
    print(json.dumps(figures))


def _ratings(problem: Problem) -> Ratings:
    """The problem's pairs, each rated 1; the ids keep the order of the codes."""
    sizes = (int(problem.user.max()) + 1, int(problem.item.max()) + 1)
    user_ids, item_ids = ([f"{code:07}" for code in range(size)] for size in sizes)
    ones = np.ones(len(problem.user), dtype=np.float32)
    return from_codes(
        users=(problem.user, user_ids),
        items=(problem.item, item_ids),
        rating=ones,
        scale=SCALE,
        name="power-law",
    )


if __name__ == "__main__":
    main()
