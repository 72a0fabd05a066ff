"""Recommendations by brute force from a snapshot's files, sharing no code with mfserve: NumPy and JSON alone."""

from __future__ import annotations

import json
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


class Oracle:
    """Answers from the arrays in a snapshot's folder, in float64, item by item."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.manifest = json.loads((folder / "manifest.json").read_text("utf-8"))

    def array(self, name: str) -> NDArray[np.generic]:
        """An array of the snapshot by its name in the manifest."""
        entry = self.manifest["arrays"][name]
        array: NDArray[np.generic] = np.load(self._folder / entry["file"], allow_pickle=False)
        return array

    def strings(self, name: str) -> list[str]:
        """A table of strings: UTF-8 bytes one after the other, and where each begins."""
        data = self.array(f"{name}_bytes").tobytes()
        offsets = self.array(f"{name}_offsets")
        return [data[start:end].decode() for start, end in pairwise(offsets.tolist())]

    @cached_property
    def users(self) -> list[str]:
        return self.strings("user_id")

    @cached_property
    def items(self) -> list[str]:
        return self.strings("item_id")

    @cached_property
    def user_number(self) -> dict[str, int]:
        return {user: number for number, user in enumerate(self.users)}

    @cached_property
    def _doubles(self) -> dict[str, NDArray[np.float64]]:
        return {
            name: self.array(name).astype(np.float64)
            for name in self.manifest["arrays"]
            if name.startswith(("rating_", "ranking_"))
        }

    def deviation(self, user: str, item: str) -> float:
        """How far the user's rating may lie from the prediction: the samples' variance, and the noise."""
        arrays, number = self._doubles, self.user_number[user]
        predicted = [
            float(u[:-1] @ i[:-1] + u[-1] + i[-1])
            for u, i in zip(
                arrays["rating_user_samples"][number],
                arrays["rating_item_samples"][self.items.index(item)],
                strict=True,
            )
        ]
        variance = sum((p - sum(predicted) / len(predicted)) ** 2 for p in predicted) / (len(predicted) - 1)
        return float((variance + arrays["rating_user_noise"][number]) ** 0.5)

    def rating_scores(self, user: str) -> NDArray[np.float64]:
        """Unclipped predicted rating of every item."""
        number, arrays = self.user_number[user], self._doubles
        products = _products(arrays["rating_item_factors"], arrays["rating_user_factors"][number])
        total: NDArray[np.float64] = (products + arrays["rating_item_biases"]) + (
            self.manifest["rating"]["intercept"] + arrays["rating_user_biases"][number]
        )
        return total

    def ranking_scores(self, user: str) -> NDArray[np.float64]:
        """Ranking score of every item."""
        arrays = self._doubles
        return _products(
            arrays["ranking_item_factors"], arrays["ranking_user_factors"][self.user_number[user]]
        )

    def rated(self, user: str) -> set[int]:
        """Numbers of the items that the user rated."""
        number, indptr = self.user_number[user], self.array("rated_indptr")
        return set(self.array("rated_indices")[int(indptr[number]) : int(indptr[number + 1])].tolist())

    def recommend(
        self, user: str, limit: int, *, head: str = "ranking", include_seen: bool = False
    ) -> list[str]:
        """Ids of the best items, best first, ties by the items' order."""
        scores = self.ranking_scores(user) if head == "ranking" else self.rating_scores(user)
        seen = set() if include_seen else self.rated(user)
        order = sorted((n for n in range(len(scores)) if n not in seen), key=lambda n: (-scores[n], n))
        return [self.items[n] for n in order[:limit]]

    def predict(self, user: str, item: str) -> float:
        """Predicted rating, clipped to the scale."""
        scale = self.manifest["scale"]
        score = self.rating_scores(user)[self.items.index(item)]
        return float(min(max(score, scale["minimum"]), scale["maximum"]))


def _products(items: NDArray[np.float64], user: NDArray[np.float64]) -> NDArray[np.float64]:
    # Not a BLAS product, which may give equal rows different last bits, and equal scores are ordered by item.
    products: NDArray[np.float64] = (items * user).sum(axis=1)
    return products


def oracle(home: Path, digest: str) -> Oracle:
    """The oracle for a published version."""
    return Oracle(home / "snapshots" / digest)
