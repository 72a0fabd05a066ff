"""How like the answers of two loaded versions are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.shadowing import AnswerSums, Sums
from mfserve_scoring import Basis, Recommendations
from mfserve_scoring.likeness import likeness
from mfserve_server.loading import LoadedVersion

LIMIT = 10
"""Items that a sampled user is recommended."""
_LOOKED_AT = 20
"""Users of the first version that are looked up in the second, for each that is wanted."""


class Answer(NamedTuple):
    """What a version recommends to a user whom its head knows.

    Attributes:
        items: ids, best first.
        scores: float32 (items,), what they are ranked by.
    """

    items: Sequence[str]
    scores: NDArray[np.float32]

    @classmethod
    def of(cls, loaded: LoadedVersion, found: Recommendations) -> Self | None:
        """None with another basis than the model: then the scores are numbers of ratings."""
        if found.basis is not Basis.MODEL:
            return None
        return cls(loaded.snapshot.items.take(found.item_indices), found.scores)


def knows(loaded: LoadedVersion, user_id: str) -> bool:
    return loaded.snapshot.users.index(user_id) >= 0


def answer_sums(ours: Answer | None, theirs: Answer | None) -> AnswerSums | None:
    """What one question shows; None where there is nothing to compare."""
    if ours is None or theirs is None or not (ours.items or theirs.items):
        return None
    found = likeness(*ours, *theirs)
    return AnswerSums(*map(Sums.of, found))


def compared(first: LoadedVersion, second: LoadedVersion, user_ids: Sequence[str]) -> AnswerSums:
    """What some users show whom both versions know, each asked as ``Recommend`` is without options."""
    sums = AnswerSums()
    for ours, theirs in zip(_answers(first, user_ids), _answers(second, user_ids), strict=True):
        sums += answer_sums(ours, theirs) or AnswerSums()
    return sums


def common_users(first: LoadedVersion, second: LoadedVersion, most: int) -> list[str]:
    """Ids of users whom both versions know, evenly spread; of versions with few users in common, perhaps not all."""
    users = first.snapshot.users
    looked_at = users.take(_spread(len(users), _LOOKED_AT * most))
    there = np.flatnonzero(second.snapshot.users.indices(looked_at) >= 0)
    return [looked_at[place] for place in there[_spread(len(there), most)]]


def _spread(of: int, most: int) -> NDArray[np.intp]:
    """At most so many places below ``of``, evenly spread."""
    return np.linspace(0, of - 1, min(of, most)).astype(np.intp)


def _answers(loaded: LoadedVersion, user_ids: Sequence[str]) -> Iterator[Answer | None]:
    found = loaded.recommender.recommend_many(user_ids, LIMIT, predict=False)
    items = loaded.snapshot.items.take(found.item_indices)
    end = 0
    for count, basis in zip(found.counts.tolist(), found.bases.tolist(), strict=True):
        start, end = end, end + count
        yield Answer(items[start:end], found.scores[start:end]) if basis == Basis.MODEL else None
