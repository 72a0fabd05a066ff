"""A snapshot's arrays, and the right answers by brute force: every product in float64, sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mfserve_registry import Registry
from mfserve_registry.snapshot import Snapshot


class WrongAnswer(Exception):
    """A contestant recommended something else than it should have."""


@dataclass(frozen=True)
class Arrays:
    """What a naive server needs of a ranking head.

    Attributes:
        user_ids, item_ids, titles: str.
        user_factors, item_factors: float32 (users, k) and (items, k).
        indptr, indices: what each user rated, as compressed sparse rows.
    """

    user_ids: NDArray[np.str_]
    item_ids: NDArray[np.str_]
    titles: NDArray[np.str_]
    user_factors: NDArray[np.float32]
    item_factors: NDArray[np.float32]
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]

    @classmethod
    def published(cls, home: Path, model: str) -> Arrays:
        """Those of the model's version in production."""
        with Registry.open(home) as registry:
            digest = registry.models.resolve(model, alias="production").digest
            snapshot = Snapshot.open(registry.snapshots.path(digest), digest)
        head = snapshot.ranking
        assert head is not None
        titles = [""] * len(snapshot.items) if snapshot.titles is None else list(snapshot.titles)
        return cls(
            np.array(list(snapshot.users)),
            np.array(list(snapshot.items)),
            np.array(titles),
            np.asarray(head.user_factors),
            np.asarray(head.item_factors),
            np.asarray(snapshot.rated.indptr),
            np.asarray(snapshot.rated.indices),
        )

    def save(self, path: Path) -> None:
        np.savez(path, allow_pickle=False, **{name: getattr(self, name) for name in self.__annotations__})

    @classmethod
    def load(cls, path: Path) -> Arrays:
        with np.load(path, allow_pickle=False) as stored:
            return cls(**stored)

    @cached_property
    def number(self) -> dict[str, int]:
        """Of each user."""
        return {str(user): number for number, user in enumerate(self.user_ids)}

    def seen(self, user: int) -> NDArray[np.int32]:
        """Items that the user rated."""
        return self.indices[self.indptr[user] : self.indptr[user + 1]]

    def best(self, user_id: str, limit: int = 10, *, seen: bool = False) -> list[str]:
        """Ids of the best items, ties by index; what the user rated is in it only where that is wanted."""
        user = self.number[user_id]
        scores = self.item_factors.astype(np.float64) @ self.user_factors[user].astype(np.float64)
        if not seen:
            scores[self.seen(user)] = -np.inf
        order = np.argsort(-scores, kind="stable")[:limit]
        return [str(item) for item in self.item_ids[order[scores[order] > -np.inf]]]

    def check(self, user_id: str, items: Sequence[str], *, seen: bool = False) -> None:
        """Raises WrongAnswer where these are not the user's ten best items."""
        if list(items) != (best := self.best(user_id, seen=seen)):
            raise WrongAnswer(f"user {user_id} got {list(items)} in place of {best}")
