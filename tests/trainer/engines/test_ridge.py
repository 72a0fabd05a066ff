from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from mfserve_trainer.engines import ridge

ROWS, LENGTH, D = 7, 12, 5


def test_solve_and_improve_agree_after_as_many_steps_as_unknowns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "STEPS", D)
    design, targets, penalty, start, shared = _problem()
    exact = ridge.solve(design, targets, penalty, shared).numpy()
    improved, residuals = ridge.improve(design, targets, penalty, start, shared)
    np.testing.assert_allclose(exact, _solutions(design, targets, penalty, shared), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(improved.numpy(), exact, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(
        residuals.numpy(), ridge.residuals(design, targets, improved).numpy(), atol=1e-4
    )


def test_improve_is_the_best_in_the_span_of_its_steps() -> None:
    design, targets, penalty, start, shared = _problem()
    improved, _ = ridge.improve(design, targets, penalty, start, shared)
    for row in range(ROWS):
        a = design[row].astype(np.float64)
        matrix = shared + a.T @ a + penalty[row] * np.eye(D)
        gradient = a.T @ targets[row] - matrix @ start[row]
        # Conjugate gradients minimise over the Krylov space: here by a solve in its orthonormal basis.
        powers = [np.linalg.matrix_power(matrix, power) @ gradient for power in range(ridge.STEPS)]
        basis, _ = np.linalg.qr(np.column_stack([vector / np.linalg.norm(vector) for vector in powers]))
        best = start[row] + basis @ np.linalg.solve(basis.T @ matrix @ basis, basis.T @ gradient)
        np.testing.assert_allclose(improved[row].numpy(), best, rtol=1e-3, atol=1e-4)


def test_improve_leaves_a_solution_where_it_is() -> None:
    design, targets, penalty, _, _ = _problem()
    design[0], targets[0] = 0, 0  # nothing to learn: the solution is zero, and so is every step
    solution = _solutions(design, targets, penalty, np.zeros((D, D))).astype(np.float32)
    improved, residuals = ridge.improve(design, targets, penalty, solution)
    np.testing.assert_allclose(improved.numpy(), solution, atol=1e-5)
    assert (improved[0].numpy() == 0).all()
    assert (residuals[0].numpy() == 0).all()


def _problem() -> tuple[
    NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]
]:
    """Rows of different lengths, penalties, places to start from, and a shared matrix."""
    random = np.random.default_rng(0)
    there = np.arange(LENGTH) < random.integers(1, LENGTH + 1, size=(ROWS, 1))
    design = random.normal(size=(ROWS, LENGTH, D)) * there[:, :, None]
    targets = random.normal(size=(ROWS, LENGTH)) * there
    half = random.normal(size=(D, D))
    parts = design, targets, random.uniform(0.5, 2, ROWS), random.normal(size=(ROWS, D)), half @ half.T
    first, second, third, fourth, fifth = (part.astype(np.float32) for part in parts)
    return first, second, third, fourth, fifth


def _solutions(
    design: NDArray[np.float32],
    targets: NDArray[np.float32],
    penalty: NDArray[np.float32],
    shared: NDArray[np.floating],
) -> NDArray[np.float64]:
    wide = design.astype(np.float64)
    gram = np.einsum("bli,blj->bij", wide, wide) + shared + penalty[:, None, None] * np.eye(D)
    moment = np.einsum("bli,bl->bi", wide, targets)
    return np.linalg.solve(gram, moment[:, :, None])[:, :, 0]
