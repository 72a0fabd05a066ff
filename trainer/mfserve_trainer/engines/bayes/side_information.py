"""What is known of users and items before any rating's value: who rated what.

The interaction matrix M (1 where u rated i) is normalised as in spectral co-clustering (Dhillon 2001, section 3),
D_u^-½ M D_i^-½, and its leading singular vectors become features: users with like choices get like features, and so
do items that the same people chose. D_u^-½ M alone is the n_u^-½ Σ_j of SVD++ (Koren 2008, section 4).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.utils.extmath import randomized_svd

Features = NDArray[np.float32]


def interaction_features(
    user_index: NDArray[np.int32],
    item_index: NDArray[np.int32],
    users: int,
    items: int,
    *,
    components: int,
    seed: int,
) -> tuple[Features, Features]:
    """U S and V S of the truncated singular value decomposition.

    Args:
        user_index, item_index: int32 (n,), no pair twice; every user and item occurs.
        users, items: how many there are.
        components: R, singular vectors to keep; fewer where the matrix has fewer. 0 for no features.
        seed: of the randomized decomposition (Halko, Martinsson, Tropp 2011).

    Returns:
        float32 (users, R) and (items, R), columns orthogonal.
    """
    kept = min(components, users, items)
    if kept == 0:
        return np.zeros((users, 0), dtype=np.float32), np.zeros((items, 0), dtype=np.float32)
    n_u, n_i = np.bincount(user_index, minlength=users), np.bincount(item_index, minlength=items)
    weight = (1 / np.sqrt(n_u[user_index] * n_i[item_index].astype(np.float64))).astype(np.float32)
    matrix = csr_matrix((weight, (user_index, item_index)), shape=(users, items))
    u, s, vt = randomized_svd(matrix, kept, random_state=seed)
    return (u * s).astype(np.float32), (vt.T * s).astype(np.float32)
