"""How far a rating may lie from its prediction: the spread of the posterior's samples, and the noise."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import Posterior
from mfserve_scoring.exact import Doubles

_NUMBERS = 1 << 17
"""Numbers of the users' samples at a time, and as many of the items': 2 MB in float64. Sixteen times as many need twice
the time, since no cache holds them."""


def deviations(
    posterior: Posterior, users: NDArray[np.integer[Any]], items: NDArray[np.integer[Any]]
) -> Doubles:
    """Standard deviation of the rating of each pair (users[n], items[n]) around its prediction, float64 (n,).

    sd² = Var_s(b_u + c_i + p_u · q_i) + σ_u²: the variance over the S samples (with S − 1 in the denominator), and
    that of the noise of the user's ratings (the law of total variance).
    """
    found = np.empty(len(users))
    _, samples, length = posterior.user_samples.shape
    at_a_time = max(1, _NUMBERS // (samples * length))
    for start in range(0, len(users), at_a_time):
        part = slice(start, start + at_a_time)
        of_users = posterior.user_samples[users[part]].astype(np.float64)
        of_items = posterior.item_samples[items[part]].astype(np.float64)
        predicted = np.einsum("nsk,nsk->ns", of_users[:, :, :-1], of_items[:, :, :-1])
        predicted += of_users[:, :, -1] + of_items[:, :, -1]
        found[part] = predicted.var(axis=1, ddof=1)
    spread: Doubles = np.sqrt(found + posterior.user_noise[users])
    return spread
