"""What a holdout fit said of each held-out row, kept with the version so that a later one can be compared with it.

The version itself is of no use for that: its refit has seen the rows. So each row is kept under a hash of its ids, and
two versions are compared on the rows that both of them held out.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.artifacts import Artifact
from mfserve_registry.snapshot import Snapshot
from mfserve_registry.snapshot.content import RatedItems
from mfserve_trainer.evaluation import Evaluation, relevant_from
from mfserve_trainer.hashing import Words, hash_ids, mix
from mfserve_trainer.ratings import Ratings

FILE_NAME = "holdout.npz"

MOST_ROWS = 500_000
"""Of more rows those with the smallest hashes are kept: the same ones in every version that holds them out."""

_KEY = b"mfserve holdout rows"  # the split's own key may differ from version to version
_DEPTH = 10
_DISCOUNTS = 1 / np.log2(np.arange(2, _DEPTH + 2))
_DISCOUNT_OF_RANK = np.concatenate(([0.0], _DISCOUNTS))
_IDEAL = np.concatenate(([0.0], np.cumsum(_DISCOUNTS)))


@dataclass(frozen=True, slots=True)
class HoldoutRows:
    """Held-out rows, ascending by ``row``, each once.

    Attributes:
        row: uint64 (n,), hash of user and item.
        user: uint64 (n,), hash of the user.
        rating: float32 (n,), as it was given.
        predicted: float32 (n,), as served; NaN where the fit had no rating head.
        rank: uint8 (n,), the item's place among the ten that were recommended to the user, from 1; 0 where it is not
            among them.
        relevant: bool (n,), whether the rating is high enough for the item to belong there.
    """

    row: Words
    user: Words
    rating: NDArray[np.float32]
    predicted: NDArray[np.float32]
    rank: NDArray[np.uint8]
    relevant: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.row)

    @classmethod
    def of(cls, evaluated: Evaluation, snapshot: Snapshot, holdout: Ratings) -> Self:
        """Those of a holdout fit.

        Args:
            evaluated: what ``evaluate`` found of the snapshot and the holdout.
        """
        users = hash_ids(holdout.user_ids, _KEY, b"user")
        items = mix(hash_ids(holdout.item_ids, _KEY, b"item"))
        rows = mix(users[holdout.user_index] + items[holdout.item_index])
        kept = np.argsort(rows)[:MOST_ROWS]
        nothing = np.full(len(holdout), np.nan, dtype=np.float32)
        return cls(
            row=rows[kept],
            user=users[holdout.user_index[kept]],
            rating=holdout.rating[kept].astype(np.float32),
            predicted=(nothing if evaluated.predicted is None else evaluated.predicted)[kept],
            rank=_ranks(evaluated.ranked, snapshot, holdout)[kept],
            relevant=(holdout.rating >= relevant_from(holdout.scale))[kept],
        )

    def with_those_of(self, other: HoldoutRows) -> tuple[HoldoutRows, HoldoutRows]:
        """The rows that both have, with the same rating: one that was rated anew is another fact."""
        _, ours, theirs = np.intersect1d(self.row, other.row, assume_unique=True, return_indices=True)
        same = self.rating[ours] == other.rating[theirs]
        return self._take(ours[same]), other._take(theirs[same])

    def rmse(self) -> float:
        """Root of the mean squared error; NaN without a rating head, or rows."""
        if len(self) == 0:
            return float("nan")
        errors = self.predicted.astype(np.float64) - self.rating
        return float(np.sqrt(np.mean(np.square(errors))))

    def ndcg_at_10(self, relevant: NDArray[np.bool_]) -> float:
        """nDCG@10 with those of these rows as relevant items, the mean over their users; NaN where there are none.

        As ``metrics.ndcg``, but from the ranks that were kept.
        """
        if not relevant.any():
            return float("nan")
        _, user, wanted = np.unique(self.user[relevant], return_inverse=True, return_counts=True)
        gained = np.bincount(user, weights=_DISCOUNT_OF_RANK[self.rank[relevant]])
        return float(np.mean(gained / _IDEAL[np.minimum(wanted, _DEPTH)]))

    def artifact(self) -> Artifact:
        """The file to keep: NumPy arrays, to be read without pickle."""
        file = io.BytesIO()
        np.savez(
            file, allow_pickle=False, **{field.name: getattr(self, field.name) for field in fields(self)}
        )
        return Artifact(FILE_NAME, "application/zip", file.getvalue())

    @classmethod
    def read(cls, data: bytes) -> Self:
        """What ``artifact`` wrote; ValueError where it is nothing of the kind."""
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                return cls(**{field.name: arrays[field.name] for field in fields(cls)})
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{FILE_NAME} cannot be read") from error

    def _take(self, rows: NDArray[Any]) -> HoldoutRows:
        return HoldoutRows(*(getattr(self, field.name)[rows] for field in fields(self)))


def _ranks(ranked: RatedItems | None, snapshot: Snapshot, holdout: Ratings) -> NDArray[np.uint8]:
    """The place of each row's item among its user's first ten, from 1; 0 for none."""
    found = np.zeros(len(holdout), dtype=np.uint8)
    if ranked is None or len(ranked.indices) == 0:
        return found
    lengths = np.diff(ranked.indptr)
    user = np.repeat(np.arange(len(lengths)), lengths)
    place = np.arange(len(user)) - ranked.indptr[user] + 1
    # One number per pair (user, item), by which pairs can be looked up at once; no list has the last item.
    width = len(snapshot.items) + 1
    listed = user * width + ranked.indices
    order = np.argsort(listed)
    items = snapshot.items.indices(list(holdout.item_ids))
    items[items < 0] = width - 1
    wanted = holdout.user_index.astype(np.int64) * width + items[holdout.item_index]
    at = order[np.minimum(np.searchsorted(listed, wanted, sorter=order), len(order) - 1)]
    hit = (listed[at] == wanted) & (place[at] <= _DEPTH)
    found[hit] = place[at[hit]]
    return found
