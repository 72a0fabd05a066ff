"""Reads what an unseen user has rated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.snapshot.ids import IdTable
from mfserve_registry.spec import RatingScale
from mfserve_scoring.exact import Doubles, Indices


def read_history(
    history: Sequence[tuple[str, float]], items: IdTable, scale: RatingScale | None
) -> tuple[Indices, Doubles]:
    """The known items of a history and their ratings.

    Args:
        history: pairs of item id and rating; of several ratings of one item the last one counts.
        items: the items that the snapshot knows; others are left out.
        scale: what every rating must lie on, those of unknown items too; None where the training data had no ratings,
            and those here mean nothing.

    Returns:
        int32 (n,) distinct item indices, ascending, and float64 (n,) ratings: the order of the history does not
        matter to the answer, not even to its last bit.

    Raises:
        InvalidArgument: a rating is not on the scale; the field is "history".
    """
    for item_id, rating in history:
        if scale is not None and not scale.holds(rating):
            raise InvalidArgument(
                f"The rating {rating!r} of item {item_id!r} is not from {scale.minimum:g} to {scale.maximum:g}.",
                field="history",
            )
    found = items.indices([item_id for item_id, _ in history])
    last = {int(item): rating for item, (_, rating) in zip(found, history, strict=True) if item >= 0}
    ordered = sorted(last)
    return np.array(ordered, dtype=np.int32), np.array([last[item] for item in ordered], dtype=np.float64)
