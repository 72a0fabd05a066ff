"""What the holdout fit answers for held-out rows and their users: what most pictures are drawn from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot import Snapshot
from mfserve_trainer.evaluation import rankers, rankings, served_predictions
from mfserve_trainer.ratings import Ratings

MOST_ROWS = 100_000
MOST_USERS = 2_000
"""A picture needs no more: shares and means of so many are exact to a pixel, and they take about a second."""

LIST_LENGTH = 10

Indices = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Holdout:
    """The holdout fit, and held-out rows.

    Attributes:
        snapshot: of the fit on the training rows.
        rows: all held-out rows, or ``MOST_ROWS`` of them.
        total: how many were held out.
        users: how many users have held-out rows, in the sample or not.
    """

    snapshot: Snapshot
    rows: Ratings
    total: int
    users: int

    @staticmethod
    def sample(snapshot: Snapshot, held_out: Ratings, seed: int) -> Holdout:
        """The held-out rows, or as many of them as a picture needs."""
        rows = _at_most(MOST_ROWS, np.arange(len(held_out)), seed)
        return Holdout(snapshot, held_out.take(rows), len(held_out), len(held_out.user_ids))

    def note(self) -> str:
        """Says what is a sample; empty where nothing is."""
        if len(self.rows) == self.total:
            return ""
        return f" From a sample of {len(self.rows):,} of {self.total:,} held-out ratings."


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Held-out rows beside what was answered for them.

    Attributes:
        predicted: float (n,), as served: clipped to the scale.
        actual: float (n,).
        user_ratings: int (n,), training ratings of the row's user; 0 for one that the fit does not know.
        item_ratings: int (n,), likewise of its item.
        deviation: float (n,), standard deviation that was answered with it, 0 where none was; None where the engine
            tells none.
    """

    predicted: NDArray[np.float64]
    actual: NDArray[np.float64]
    user_ratings: NDArray[np.int64]
    item_ratings: NDArray[np.int64]
    deviation: NDArray[np.float64] | None = None


def predicted(holdout: Holdout) -> Predicted:
    """Asks for every row, as the server would answer; the fit has a rating head."""
    snapshot, rows = holdout.snapshot, holdout.rows
    users = snapshot.users.indices(list(rows.user_ids))
    items = snapshot.items.indices(list(rows.item_ids))
    answers = served_predictions(snapshot, rows)
    return Predicted(
        predicted=answers.ratings.astype(np.float64),
        actual=rows.rating.astype(np.float64),
        user_ratings=_known(np.diff(snapshot.rated.indptr), users)[rows.user_index],
        item_ratings=_known(snapshot.item_counts, items)[rows.item_index],
        deviation=None if answers.deviations is None else answers.deviations.astype(np.float64),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Recommended:
    """How often each item stands in somebody's list of ten.

    Attributes:
        slots: by ranker, int (items,) in the snapshot's order.
        item_ratings: int (items,), training ratings.
        users: whose lists.
        of_users: how many have held-out ratings.
    """

    slots: dict[str, NDArray[np.int64]]
    item_ratings: NDArray[np.int64]
    users: int
    of_users: int

    def note(self) -> str:
        """Says what is a sample; empty where nothing is."""
        if self.users == self.of_users:
            return ""
        return f" From the lists of a sample of {self.users:,} of {self.of_users:,} users."


def recommended(holdout: Holdout, seed: int) -> Recommended:
    """Asks every ranker for the lists of the users who have held-out rows, or of a sample of them."""
    snapshot = holdout.snapshot
    users = _at_most(MOST_USERS, holdout.rows.user_ids, seed)
    slots = {}
    for name, ranker in rankers(snapshot).items():
        lists = rankings(ranker, list(users))
        rank = np.arange(len(lists.indices)) - np.repeat(lists.indptr[:-1], np.diff(lists.indptr))
        slots[name] = np.bincount(lists.indices[rank < LIST_LENGTH], minlength=len(snapshot.items))
    return Recommended(slots, snapshot.item_counts.astype(np.int64), len(users), holdout.users)


def _known(counts: NDArray[np.integer[Any]], index: Indices) -> NDArray[np.int64]:
    """``counts[index]``, and 0 where the index is -1: unknown."""
    return np.where(index >= 0, counts[index], 0).astype(np.int64)


def _at_most(most: int, values: NDArray[Any], seed: int) -> NDArray[Any]:
    if len(values) <= most:
        return values
    return values[np.sort(np.random.default_rng(seed).choice(len(values), most, replace=False))]
