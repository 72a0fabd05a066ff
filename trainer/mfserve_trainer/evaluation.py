"""Measures a holdout fit on its snapshot, through the scoring that the server answers with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot import Snapshot
from mfserve_registry.snapshot.content import RatedItems
from mfserve_registry.spec import RatingScale
from mfserve_scoring import Head, Recommender, metrics
from mfserve_scoring.answers import RatingPredictions
from mfserve_scoring.excluded import NOTHING, Excluded
from mfserve_scoring.rankers import ByPopularity
from mfserve_scoring.ratings import RatingModel
from mfserve_trainer.ratings import Ratings

RELEVANT_FROM = 0.75
"""A held-out item is relevant if it is rated in the upper quarter of the scale: 4 and 5 on a scale of 1 to 5, and each
one of implicit data."""

_BATCH_USERS = 4096
_BATCH_PAIRS = 65536
_DEPTH = 20

_Ranked = tuple[NDArray[np.int32], NDArray[np.intp]]
"""Items, best first and user after user, and how many each user has."""

Ranker = Callable[[list[str]], _Ranked]
"""Ranks for users by their ids."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a snapshot said of held-out rows, and how good that was.

    Attributes:
        metrics: as JSON values: ``holdout_ratings``;
            ``rating``: errors of the rating head as served, before clipping, and of the mean rating, empty where there
            is no rating head;
            ``ranking_users``: users who have a relevant held-out item; ``ranking``: nDCG@10 and Recall@20 as means over
            them, and coverage@10, of each head and of popularity. What a user rated in training is left out of a
            ranking.
        predicted: float32 (rows,), the rating of each row as served; None without a rating head.
        ranked: the best 20 items of each of the holdout's users as Recommend ranks by default, in the snapshot's
            numbers; None where no user has a relevant item.
    """

    metrics: dict[str, Any]
    predicted: NDArray[np.float32] | None
    ranked: RatedItems | None


def evaluate(snapshot: Snapshot, holdout: Ratings) -> Evaluation:
    """Asks a snapshot, whose fit knew nothing of the holdout, and measures the answers.

    Args:
        snapshot: of the fit on the training rows.
        holdout: the held-out rows, at least one; users and items that the snapshot does not know included.
    """
    predicted = None if snapshot.rating is None else served_predictions(snapshot, holdout).ratings
    users, ranking, ranked = _rank(snapshot, holdout)
    measured = {
        "holdout_ratings": len(holdout),
        "rating": _errors(snapshot, holdout, predicted),
        "ranking_users": users,
        "ranking": ranking,
    }
    return Evaluation(measured, predicted, ranked)


def rating_mse(snapshot: Snapshot, holdout: Ratings) -> float:
    """The mean squared error of the rating head as served: what ``evaluate`` calls RATING_HEAD's ``mse``."""
    return metrics.mse(served_predictions(snapshot, holdout).ratings, holdout.rating)


def ndcg_at_10(snapshot: Snapshot, holdout: Ratings) -> float:
    """What ``evaluate`` calls RANKING_HEAD's ``ndcg_at_10``; the holdout needs a relevant item."""
    ranked = rankings(_by_head(snapshot, Head.RANKING), list(holdout.user_ids))
    return metrics.ndcg(ranked, _relevant(snapshot, holdout), 10)


def _errors(snapshot: Snapshot, holdout: Ratings, served: NDArray[np.float32] | None) -> list[dict[str, Any]]:
    if served is None or snapshot.rating is None or snapshot.scale is None or snapshot.mean_rating is None:
        return []
    predictions: dict[str, NDArray[Any]] = {
        "RATING_HEAD": served,
        "RATING_HEAD_UNCLIPPED": _unclipped(
            snapshot, RatingModel(snapshot.rating, snapshot.scale), holdout, served
        ),
        "GLOBAL_MEAN": np.full(len(holdout), snapshot.mean_rating),
    }
    return [
        {
            "predictor": name,
            "mse": metrics.mse(predicted, holdout.rating),
            "rmse": metrics.rmse(predicted, holdout.rating),
            "mae": metrics.mae(predicted, holdout.rating),
        }
        for name, predicted in predictions.items()
    ]


def served_predictions(snapshot: Snapshot, holdout: Ratings) -> RatingPredictions:
    """What the server would answer for each row; the snapshot has a rating head."""
    recommender = Recommender(snapshot)
    parts = []
    for start in range(0, len(holdout), _BATCH_PAIRS):
        rows = slice(start, start + _BATCH_PAIRS)
        users = holdout.user_ids[holdout.user_index[rows]]
        items = holdout.item_ids[holdout.item_index[rows]]
        parts.append(recommender.predict_many(list(zip(users, items, strict=True))))
    deviations = [part.deviations for part in parts if part.deviations is not None]
    return RatingPredictions(
        ratings=np.concatenate([part.ratings for part in parts]),
        bases=np.concatenate([part.bases for part in parts]),
        deviations=np.concatenate(deviations) if deviations else None,
    )


def _unclipped(
    snapshot: Snapshot, model: RatingModel, holdout: Ratings, served: NDArray[np.float32]
) -> NDArray[np.float64]:
    """What the rating head says before clipping; where it says nothing, the fallback that is served."""
    users = snapshot.users.indices(list(holdout.user_ids))[holdout.user_index]
    items = snapshot.items.indices(list(holdout.item_ids))[holdout.item_index]
    known = (users >= 0) & (items >= 0)
    predicted = served.astype(np.float64)
    for start in range(0, len(holdout), _BATCH_PAIRS):
        rows = start + np.flatnonzero(known[start : start + _BATCH_PAIRS])
        predicted[rows] = model.unclipped(users[rows], items[rows])
    return predicted


def _rank(snapshot: Snapshot, holdout: Ratings) -> tuple[int, list[dict[str, Any]], RatedItems | None]:
    relevant = _relevant(snapshot, holdout)
    users = list(holdout.user_ids)
    with_relevant = int(np.count_nonzero(np.diff(relevant.indptr)))
    if not with_relevant:
        return 0, [], None
    measured = []
    rankings_by = {name: rankings(ranker, users) for name, ranker in rankers(snapshot).items()}
    for name, ranked in rankings_by.items():
        measured.append(
            {
                "ranker": name,
                "ndcg_at_10": metrics.ndcg(ranked, relevant, 10),
                "recall_at_20": metrics.recall(ranked, relevant, _DEPTH),
                "coverage_at_10": metrics.coverage(ranked, len(snapshot.items), 10),
            }
        )
    # The first is of the head by which Recommend ranks where it is not told another.
    return with_relevant, measured, next(iter(rankings_by.values()))


def rankers(snapshot: Snapshot) -> dict[str, Ranker]:
    """What is measured: each head, and popularity.

    Users of whom the snapshot knows nothing get what is popular, as they would be served.
    """
    found: dict[str, Ranker] = {}
    if snapshot.ranking is not None:
        found["RANKING_HEAD"] = _by_head(snapshot, Head.RANKING)
    if snapshot.rating is not None:
        found["RATING_HEAD"] = _by_head(snapshot, Head.RATING)
    found["POPULARITY"] = _by_popularity(snapshot)
    return found


def _relevant(snapshot: Snapshot, holdout: Ratings) -> RatedItems:
    """Relevant held-out items of the holdout's users, by the snapshot's item numbers.

    An item that the snapshot does not know cannot be recommended, but it counts as missed: it gets a number of its own
    behind the snapshot's.
    """
    numbers = snapshot.items.indices(list(holdout.item_ids))
    unknown = numbers < 0
    numbers[unknown] = len(snapshot.items) + np.arange(np.count_nonzero(unknown), dtype=np.int32)
    liked = holdout.rating >= relevant_from(holdout.scale)
    users, items = holdout.user_index[liked], numbers[holdout.item_index[liked]]
    order = np.lexsort((items, users))
    return RatedItems(_indptr(np.bincount(users, minlength=len(holdout.user_ids))), items[order])


def relevant_from(scale: RatingScale) -> np.float32:
    """The lowest rating of a relevant item. Rounded as ratings are, so that a rating that lies on it counts."""
    return np.float32(scale.minimum + RELEVANT_FROM * (scale.maximum - scale.minimum))


def rankings(ranker: Ranker, users: list[str]) -> RatedItems:
    """The best 20 items of each user, best first, without those that the user rated in training."""
    parts = [ranker(users[start : start + _BATCH_USERS]) for start in range(0, len(users), _BATCH_USERS)]
    items = np.concatenate([items for items, _ in parts])
    return RatedItems(_indptr(np.concatenate([counts for _, counts in parts])), items)


def _by_head(snapshot: Snapshot, head: Head) -> Ranker:
    recommender = Recommender(snapshot)

    def rank(users: list[str]) -> _Ranked:
        batch = recommender.recommend_many(users, _DEPTH, head=head, predict=False)
        return batch.item_indices, batch.counts.astype(np.intp)

    return rank


def _by_popularity(snapshot: Snapshot) -> Ranker:
    popular = ByPopularity(snapshot.item_counts)

    def rank(users: list[str]) -> _Ranked:
        excluded = Excluded.seen(snapshot.rated, snapshot.users.indices(users), NOTHING)
        top = popular.search(len(users), _DEPTH, excluded)
        return top.indices, top.counts.astype(np.intp)

    return rank


def _indptr(counts: NDArray[np.intp]) -> NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
