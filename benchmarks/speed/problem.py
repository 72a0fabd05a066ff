"""One factorization problem, for every process that is to solve it: three files in a folder.

Needs numpy alone, so that a peer's environment can read it too.

The objective is implicit's (Hu, Koren and Volinsky 2008, equation 3) with one confidence c for all observed pairs:

    F = Σ_observed c (p_u · q_i − 1)² + Σ_others (p_u · q_i)² + reg (‖P‖² + ‖Q‖²)

Engine ``ials`` minimises, where every rating has the target 1 and ν = 0,

    L = Σ_observed (p'_u · q'_i − 1)² + α₀ Σ_all (p'_u · q'_i)² + λ (‖P'‖² + ‖Q'‖²).

With α₀ = 1/(c − 1), λ = reg/c, P = √(1 + α₀) P' and Q = √(1 + α₀) Q' the two are the same but for constants:

    F = (1 + α₀)²/α₀ · L − n (1 + α₀),    n the number of observed pairs,

since an observed pair's share of L is (p' − 1)² + α₀ p'² = (1 + α₀)(p' − 1/(1 + α₀))² + α₀/(1 + α₀).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1 << 18


@dataclass(frozen=True, slots=True)
class Problem:
    """Observed pairs, and the constants of F.

    Attributes:
        user, item: int32 (n,), codes; every code from 0 to the highest occurs.
        factors: k.
        confidence: c, above 1.
        regularization: reg.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    factors: int
    confidence: float
    regularization: float

    @property
    def unobserved_weight(self) -> float:
        """α₀."""
        return 1.0 / (self.confidence - 1.0)

    @property
    def ials_regularization(self) -> float:
        """λ."""
        return self.regularization / self.confidence

    @property
    def ials_scale(self) -> float:
        """√(1 + α₀): what the factors of ``ials`` are multiplied by to become those of F."""
        return float(np.sqrt(1.0 + self.unobserved_weight))

    @property
    def data_bytes(self) -> int:
        """Size of the ratings as int32/int32/float32 triples, and of float32 factors for all users and items."""
        members = int(self.user.max()) + int(self.item.max()) + 2
        return 12 * len(self.user) + 4 * self.factors * members

    def objective(self, users: NDArray[np.float32], items: NDArray[np.float32]) -> float:
        """F in float64, for P (users, k) and Q (items, k)."""
        p, q = users.astype(np.float64), items.astype(np.float64)
        value = float(np.sum((p.T @ p) * (q.T @ q)))
        value += self.regularization * float(np.square(p).sum() + np.square(q).sum())
        for begin in range(0, len(self.user), _BLOCK):
            block = slice(begin, begin + _BLOCK)
            predicted = np.einsum("ij,ij->i", p[self.user[block]], q[self.item[block]])
            value += float(np.sum(self.confidence * np.square(predicted - 1.0) - np.square(predicted)))
        return value

    def objective_of_ials(self, loss: float, n: int) -> float:
        """F, from what ``ials`` reports as loss: L divided by n."""
        alpha = self.unobserved_weight
        return (1.0 + alpha) ** 2 / alpha * loss * n - n * (1.0 + alpha)

    def save(self, folder: Path) -> None:
        np.save(folder / "user.npy", self.user)
        np.save(folder / "item.npy", self.item)
        constants = {
            "factors": self.factors,
            "confidence": self.confidence,
            "regularization": self.regularization,
        }
        (folder / "constants.json").write_text(json.dumps(constants))

    @classmethod
    def load(cls, folder: Path) -> Problem:
        constants = json.loads((folder / "constants.json").read_text())
        return cls(np.load(folder / "user.npy"), np.load(folder / "item.npy"), **constants)
