"""The part of the training rows that trials are compared on, and how."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.snapshot import Snapshot, write_snapshot
from mfserve_registry.snapshot.content import RankingHead, RatingHead
from mfserve_registry.spec import KeyedHashSplit, NoSplit, RandomSplit
from mfserve_trainer.assemble import assemble
from mfserve_trainer.evaluation import ndcg_at_10, rating_mse, relevant_from
from mfserve_trainer.ratings import Ratings
from mfserve_trainer.splits import split


class Validation:
    """Two parts of the training rows: what trials are fitted on, and what they are measured on.

    Both are cut as the holdout was, so that a row whose place does not change from training to training stays where
    it is. The holdout's rows are in neither: they are not in ``training``.

    Args:
        training: the rows that the fit to be tuned for will be trained on.
        how: how the holdout was cut off.
        fraction: share of the rows that is measured on, between 0 and 1.
        folder: an empty folder for a snapshot; used as long as the object is.

    Raises:
        InvalidArgument: DATASET_TOO_SMALL, one of the parts would be empty.
    """

    def __init__(
        self, training: Ratings, how: KeyedHashSplit | RandomSplit | NoSplit, fraction: float, folder: Path
    ) -> None:
        try:
            parts = split(training, _within(how, fraction))
        except InvalidArgument as error:
            raise _too_small(
                f"{_count(training)} too few to set a share of {fraction:g} aside for tuning: one part would be "
                "empty. Give more ratings, or train without tuning.",
                "spec.tuning.validation_fraction",
            ) from error
        self.fitted = training.take(parts.train_rows)
        self.measured = training.take(parts.holdout_rows)
        # Everything that a trial's snapshot says but for its head, which takes its place in ``measure``.
        rating, ranking = _empty_heads(self.fitted)
        content = assemble(self.fitted, rating, ranking, facts={})
        self._snapshot = Snapshot.open(folder, write_snapshot(folder, content), verify=False)

    def require_relevant(self) -> None:
        """InvalidArgument: DATASET_TOO_SMALL, where no ranking could be told from another."""
        threshold = relevant_from(self.measured.scale)
        if not (self.measured.rating >= threshold).any():
            raise _too_small(
                f"No rating of the {len(self.measured):,} that are set aside for tuning is {threshold:g} or higher, so "
                "that no ranking is better than another. Give more ratings, or tune the rating head alone.",
                "spec.tuning.head",
            )

    def measure(self, head: RatingHead | RankingHead) -> float:
        """The MSE of a rating head, the nDCG@10 of a ranking head, as it would be served.

        Finite where the head's parameters are: predictions are computed in float64 and clipped to the scale.
        """
        if isinstance(head, RatingHead):
            return rating_mse(replace(self._snapshot, rating=head), self.measured)
        return ndcg_at_10(replace(self._snapshot, ranking=head), self.measured)


def _within(how: KeyedHashSplit | RandomSplit | NoSplit, fraction: float) -> KeyedHashSplit | RandomSplit:
    if isinstance(how, RandomSplit):
        return RandomSplit(fraction=fraction, seed=how.seed)
    # Under the same key, the rows with the smallest hashes would be wanted once more, which are held out already.
    key = how.key if isinstance(how, KeyedHashSplit) else KeyedHashSplit().key
    other = hashlib.blake2b(key.encode(), digest_size=32, person=b"validation").hexdigest()
    return KeyedHashSplit(fraction=fraction, key=other)


def _empty_heads(ratings: Ratings) -> tuple[RatingHead | None, RankingHead | None]:
    """One that the data can have, as a snapshot needs one."""
    user_factors = np.zeros((len(ratings.user_ids), 1), np.float32)
    item_factors = np.zeros((len(ratings.item_ids), 1), np.float32)
    if ratings.implicit:
        return None, RankingHead(user_factors, item_factors, 1.0, 1.0, 0.0, (0.0, 1.0))
    no_biases = np.zeros(len(user_factors), np.float32), np.zeros(len(item_factors), np.float32)
    return RatingHead(0.0, *no_biases, user_factors, item_factors, regularization=1.0, folds_bias=False), None


def _count(ratings: Ratings) -> str:
    return "1 training rating is" if len(ratings) == 1 else f"{len(ratings):,} training ratings are"


def _too_small(message: str, field: str) -> InvalidArgument:
    return InvalidArgument(message, reason="DATASET_TOO_SMALL", field=field)
