from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mfserve_trainer.engines.bayes.posterior import compress
from mfserve_trainer.engines.bayes.side_information import interaction_features


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 8), st.integers(1, 12), st.integers(0, 2**32 - 1)
)
def test_compression_is_the_truncated_singular_value_decomposition(
    rows: int, columns: int, width: int, factors: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    left = random.normal(size=(rows, width)).astype(np.float32)
    right = random.normal(size=(columns, width)).astype(np.float32)
    product = left.astype(np.float64) @ right.T
    u, s, vt = np.linalg.svd(product, full_matrices=False)
    best = (u[:, :factors] * s[:factors]) @ vt[:factors]

    p, q = compress(left, right, factors)

    assert p.shape[1] == q.shape[1] <= factors
    np.testing.assert_allclose(p @ q.T, best, atol=1e-4 * max(1.0, s[0]))
    gram_p, gram_q = p.T @ p, q.T @ q
    np.testing.assert_allclose(gram_p, gram_q, atol=1e-4 * max(1.0, s[0]))  # orthogonal, equally long


def test_compression_of_nothing_is_one_column_of_zeros() -> None:
    p, q = compress(np.zeros((3, 2), dtype=np.float32), np.zeros((4, 2), dtype=np.float32), 2)
    assert p.shape == (3, 1)
    assert q.shape == (4, 1)
    assert not (p @ q.T).any()


def test_features_are_those_of_the_whole_decomposition() -> None:
    random = np.random.default_rng(0)
    chosen = random.random((40, 30)) < 0.3
    chosen[:, 0] = chosen[0] = True
    user, item = (index.astype(np.int32) for index in np.nonzero(chosen))
    of_users, of_items = interaction_features(user, item, 40, 30, components=6, seed=0)

    matrix = chosen / np.sqrt(chosen.sum(axis=1, keepdims=True) * chosen.sum(axis=0))
    u, s, vt = np.linalg.svd(matrix)
    np.testing.assert_allclose(np.abs(of_users), np.abs(u[:, :6] * s[:6]), atol=1e-2)
    np.testing.assert_allclose(np.abs(of_items), np.abs(vt[:6].T * s[:6]), atol=1e-2)
    # One sign for both sides of a component.
    np.testing.assert_allclose(of_users @ of_items.T, (u[:, :6] * s[:6] ** 2) @ vt[:6], atol=1e-2)


def test_features_no_more_than_the_matrix_has() -> None:
    user, item = np.array([0, 1, 1], dtype=np.int32), np.array([0, 0, 1], dtype=np.int32)
    assert interaction_features(user, item, 2, 2, components=50, seed=0)[0].shape == (2, 2)
    assert interaction_features(user, item, 2, 2, components=0, seed=0)[1].shape == (2, 0)
