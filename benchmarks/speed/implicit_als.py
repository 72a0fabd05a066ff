"""implicit's ALS on a problem, in implicit's own environment.

``python -m benchmarks.speed.implicit_als FOLDER SOLVER ITERATIONS``, SOLVER being ``cg`` or ``cholesky``. Writes the
factors to FOLDER and prints one JSON object. Times go from the triples to the factors: making the sparse matrix that
``fit`` takes is counted, measuring the objective is not.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

# As implicit's documentation asks: its own threads divide the work, and BLAS is to have none.
os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np
from implicit.cpu import _als
from implicit.cpu.als import AlternatingLeastSquares
from scipy.sparse import coo_matrix

from benchmarks.speed.problem import Problem


def main() -> None:
    folder, solver, iterations = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    problem = Problem.load(folder)
    threads = len(os.sched_getaffinity(0))
    model = AlternatingLeastSquares(
        factors=problem.factors,
        regularization=problem.regularization,
        alpha=problem.confidence,
        use_cg=solver == "cg",
        iterations=iterations,
        num_threads=threads,
        random_state=0,
    )
    measuring = 0.0
    passed: list[dict[str, float]] = []

    def after(iteration: int, seconds: float, loss: float | None) -> None:
        nonlocal measuring
        now, cpu = time.perf_counter(), time.process_time()
        # implicit's own measure, to find the iteration that matters: F divided by the sum of all weights.
        objective = _als.calculate_loss(
            weighted, model.user_factors, model.item_factors, problem.regularization, num_threads=threads
        )
        weights = problem.confidence * weighted.nnz + np.prod(weighted.shape, dtype=np.float64) - weighted.nnz
        passed.append(
            {
                "iteration": iteration + 1,
                "seconds": now - began - measuring,
                "iteration_seconds": seconds,
                "objective": objective * weights,
            }
        )
        measuring += time.perf_counter() - now
        measured_cpu.append(time.process_time() - cpu)

    measured_cpu: list[float] = []
    began, began_cpu = time.perf_counter(), time.process_time()
    ones = np.ones(len(problem.user), dtype=np.float32)
    observed = coo_matrix((ones, (problem.user, problem.item))).tocsr()
    ready = time.perf_counter()
    weighted = (problem.confidence * observed).astype(np.float32)  # for the measure alone
    measuring += time.perf_counter() - ready
    model.fit(observed, show_progress=False, callback=after)
    cpu_seconds = time.process_time() - began_cpu - sum(measured_cpu)

    np.save(folder / f"{solver}-users.npy", model.user_factors)
    np.save(folder / f"{solver}-items.npy", model.item_factors)
    print(json.dumps({"passed": passed, "seconds": passed[-1]["seconds"], "cpu_seconds": cpu_seconds}))


if __name__ == "__main__":
    main()
