"""The parts of ``benchmarks.training_speed`` on small problems: it is the procedure that is tested, not the speed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.comparison import running
from benchmarks.comparison.lines import DEFAULT, LINES
from benchmarks.speed.power_law import power_law
from benchmarks.speed.problem import Problem
from benchmarks.training_speed import child, defaults_table, factors_of, find_sweeps, job, main, scale_table
from tests.trainer.engines.synthetic import low_rank
from tests.trainer.samples import QUICK, dataset, write_csv


def test_power_law_ratings_are_distinct_and_every_user_has_one() -> None:
    user, item = power_law(300, 90, 4000, seed=1)
    assert user.dtype == item.dtype == np.int32
    assert len(user) == len({*zip(user.tolist(), item.tolist(), strict=True)}) == 4000
    assert set(user.tolist()) == set(range(300))
    assert 0 <= item.min() <= item.max() < 90
    of_items = np.sort(np.bincount(item, minlength=90))
    assert of_items[-9:].sum() > 3 * of_items[:9].sum()
    again = power_law(300, 90, 4000, seed=1)
    np.testing.assert_array_equal(np.stack([user, item]), np.stack(again))


def test_objective_is_the_sum_over_all_cells() -> None:
    problem = _problem()
    random = np.random.default_rng(0)
    users, items = (random.normal(size=(size, 4)).astype(np.float32) for size in (40, 20))
    weight, target = np.ones((40, 20)), np.zeros((40, 20))
    weight[problem.user, problem.item], target[problem.user, problem.item] = 11.0, 1.0
    wide = users.astype(np.float64), items.astype(np.float64)
    expected = np.sum(weight * (wide[0] @ wide[1].T - target) ** 2)
    expected += 0.5 * (np.square(wide[0]).sum() + np.square(wide[1]).sum())
    assert problem.objective(users, items) == pytest.approx(expected, rel=1e-12)


def test_ials_minimises_the_objective_of_the_peers(tmp_path: Path) -> None:
    problem = _problem()
    problem.save(tmp_path)
    figures = child("mfserve_ials", str(tmp_path), "6")
    reported = [one["objective"] for one in figures["passed"]]
    users, items = factors_of(tmp_path, "ials")
    objective = problem.objective(users, items)
    assert objective == pytest.approx(reported[-1], rel=1e-5)
    assert find_sweeps(figures["passed"], (reported[2] + reported[3]) / 2) == 4
    assert find_sweeps(figures["passed"], reported[-1] * 0.9) is None
    # A step of exact ALS in float64, from implicit's equations: (QᵀQ + Σ (c − 1) q qᵀ + reg) p = c Σ q.
    wide = users.astype(np.float64)
    for item in range(20):
        rated = wide[problem.user[problem.item == item]]
        matrix = wide.T @ wide + 10.0 * rated.T @ rated + 0.5 * np.eye(4)
        np.testing.assert_allclose(items[item], np.linalg.solve(matrix, 11.0 * rated.sum(axis=0)), atol=1e-3)


def test_a_job_is_measured_stage_by_stage(tmp_path: Path) -> None:
    csv = write_csv(low_rank()[0], tmp_path / "low-rank.csv")
    figures = job(dataset(csv), QUICK, str(tmp_path))
    stages = [stage["stage"] for stage in figures["stages"]]
    assert stages[0] == "LOADING"
    assert stages[-1] == "PUBLISHING"
    seconds = sum(stage["seconds"] for stage in figures["stages"])
    assert figures["holdout_seconds"] + figures["refit_seconds"] == pytest.approx(seconds)
    peaks = [stage["memory_bytes"] for stage in figures["stages"]]
    # So little data may need no more than the import has needed already.
    assert figures["memory_bytes"] == max(peaks) >= 0
    assert len(defaults_table(figures).splitlines()) == 2 + len(stages) + 2


def test_an_objective_that_is_never_reached_is_a_miss() -> None:
    ours = {"name": "mfserve ials", "passed": [{}], "seconds": 3.0, "cpu_seconds": 3.0, "objective": 2.0}
    ratios = {"time_ratio": 1.5, "cpu_time_ratio": 1.5, "memory_ratio": 3.0, "data_bytes": 1e6}
    assert "MISSED" in scale_table({"rows": [ours], "reached": False} | ratios)
    assert "MISSED" not in scale_table({"rows": [ours], "reached": True} | ratios)


def test_an_environment_that_is_not_finished_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "ENVIRONMENTS", tmp_path)
    python = tmp_path / "implicit" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert running.missing(LINES) >= {"implicit", "surprise"}
    assert not running.missing([DEFAULT])
    with pytest.raises(SystemExit, match="make peers"):
        main(["--only", "scale"])
    (tmp_path / "implicit" / ".installed").touch()
    assert "implicit" not in running.missing(LINES)


def _problem() -> Problem:
    user, item = power_law(40, 20, 300, seed=0)
    assert set(item.tolist()) == set(range(20))
    return Problem(user, item, factors=4, confidence=11.0, regularization=0.5)
