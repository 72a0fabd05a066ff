"""Metrics of a snapshot, against scikit-learn and loops over the raw arrays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import mean_absolute_error, mean_squared_error, ndcg_score

from mfserve_registry.snapshot import Snapshot, write_snapshot
from mfserve_registry.snapshot.content import SnapshotContent
from mfserve_trainer.assemble import assemble
from mfserve_trainer.evaluation import evaluate
from mfserve_trainer.ratings import Ratings, from_rows
from tests.trainer.engines.synthetic import random_table, table
from tests.trainer.samples import random_heads

NEVER = -1e9


def opened(content: SnapshotContent, folder: Path) -> Snapshot:
    return Snapshot.open(folder, write_snapshot(folder, content))


def metrics_of(snapshot: Snapshot, holdout: Ratings) -> dict[str, Any]:
    return evaluate(snapshot, holdout).metrics


def parts(seed: int) -> tuple[Ratings, Ratings]:
    """Training and holdout; in the holdout are a user and items that the training part does not have."""
    ratings = random_table(seed, users=30, items=70, share=0.5)
    held_out = np.random.default_rng(seed).random(len(ratings)) < 0.4
    held_out |= (ratings.user_index == 4) | (ratings.item_index % 23 == 6)
    return ratings.take(np.flatnonzero(~held_out)), ratings.take(np.flatnonzero(held_out))


def by_name(rows: list[dict[str, Any]], key: str) -> dict[str, dict[str, Any]]:
    return {row[key]: row for row in rows}


@pytest.mark.parametrize("seed", range(3))
def test_rating_errors(tmp_path: Path, seed: int) -> None:
    training, holdout = parts(seed)
    rating, ranking = random_heads(seed, len(training.user_ids), len(training.item_ids))
    content = assemble(training, rating, ranking, facts={})
    found = metrics_of(opened(content, tmp_path), holdout)
    assert content.user_means is not None
    assert content.item_means is not None
    assert content.mean_rating is not None

    users, items = list(training.user_ids), list(training.item_ids)
    predicted = []
    for row in range(len(holdout)):
        user, item = holdout.user_ids[holdout.user_index[row]], holdout.item_ids[holdout.item_index[row]]
        if user in users and item in items:
            u, i = users.index(user), items.index(item)
            dot = sum(
                float(p) * float(q)
                for p, q in zip(rating.user_factors[u], rating.item_factors[i], strict=True)
            )
            predicted.append(
                rating.intercept + float(rating.user_biases[u]) + float(rating.item_biases[i]) + dot
            )
        elif user in users:
            predicted.append(float(content.user_means[users.index(user)]))
        elif item in items:
            predicted.append(float(content.item_means[items.index(item)]))
        else:
            predicted.append(content.mean_rating)
    unclipped = np.array(predicted)
    assert (unclipped > 5).any()
    expected = {
        "RATING_HEAD": unclipped.clip(1, 5),
        "RATING_HEAD_UNCLIPPED": unclipped,
        "GLOBAL_MEAN": np.full(len(holdout), training.rating.mean(dtype=np.float64)),
    }
    assert found["holdout_ratings"] == len(holdout)
    measured = by_name(found["rating"], "predictor")
    assert list(measured) == list(expected)
    for name, prediction in expected.items():
        squared = mean_squared_error(holdout.rating, prediction)
        assert measured[name]["mse"] == pytest.approx(squared, rel=1e-5)
        assert measured[name]["rmse"] == pytest.approx(squared**0.5, rel=1e-5)
        assert measured[name]["mae"] == pytest.approx(
            mean_absolute_error(holdout.rating, prediction), rel=1e-5
        )


@pytest.mark.parametrize("seed", range(3))
def test_ranking_quality(tmp_path: Path, seed: int) -> None:
    training, holdout = parts(seed)
    rating, ranking = random_heads(seed, len(training.user_ids), len(training.item_ids))
    content = assemble(training, rating, ranking, facts={})
    found = metrics_of(opened(content, tmp_path), holdout)

    # Ties are decided by the item's number: a little less for each.
    popularity = content.item_counts - np.arange(len(training.item_ids)) / 1000
    everyone = np.ones((len(training.user_ids), 1))
    scores: dict[str, NDArray[Any]] = {
        "RANKING_HEAD": ranking.user_factors.astype(np.float64) @ ranking.item_factors.T,
        "RATING_HEAD": rating.user_factors.astype(np.float64) @ rating.item_factors.T + rating.item_biases,
        "POPULARITY": everyone * popularity,
    }
    measured = by_name(found["ranking"], "ranker")
    assert list(measured) == list(scores)
    for name, score in scores.items():
        users, ndcg, recall, coverage = brute_force(training, holdout, score, popularity)
        assert found["ranking_users"] == users
        assert measured[name]["ndcg_at_10"] == pytest.approx(ndcg, abs=1e-9)
        assert measured[name]["recall_at_20"] == pytest.approx(recall, abs=1e-9)
        assert measured[name]["coverage_at_10"] == pytest.approx(coverage, abs=1e-9)


def brute_force(
    training: Ratings, holdout: Ratings, scores: NDArray[Any], popularity: NDArray[Any]
) -> tuple[int, float, float, float]:
    """Users with a relevant item, nDCG@10, Recall@20 and coverage@10, user by user over all items of both parts."""
    everything = [*training.item_ids, *sorted(set(holdout.item_ids) - set(training.item_ids))]
    assert len(everything) > len(training.item_ids)
    known_users = list(training.user_ids)
    assert set(holdout.user_ids) - set(known_users)
    ndcgs, recalls, shown = [], [], set()
    for number, user in enumerate(holdout.user_ids):
        # A user whom the snapshot does not know is recommended what is popular.
        known = user in known_users
        own = np.full(len(everything), NEVER)
        own[: len(training.item_ids)] = scores[known_users.index(user)] if known else popularity
        if known:
            own[training.item_index[training.user_index == known_users.index(user)]] = NEVER
        liked = (holdout.user_index == number) & (holdout.rating >= 4)
        relevant = {everything.index(item) for item in holdout.item_ids[holdout.item_index[liked]]}
        ranked = [int(item) for item in np.argsort(-own)[:20] if own[item] > NEVER]
        shown |= set(ranked[:10])
        if not relevant:
            continue
        truth = np.isin(np.arange(len(everything)), list(relevant)).astype(float)
        # Equal scores share their gain in scikit-learn: what is never shown must not share any.
        ndcgs.append(ndcg_score([truth], [np.where(own > NEVER, own, NEVER - truth)], k=10, ignore_ties=True))
        recalls.append(len(relevant & set(ranked)) / min(len(relevant), 20))
    return len(ndcgs), float(np.mean(ndcgs)), float(np.mean(recalls)), len(shown) / len(training.item_ids)


def test_without_a_ranking_head_the_rating_head_and_popularity_are_measured(tmp_path: Path) -> None:
    training, holdout = parts(0)
    rating, _ = random_heads(0, len(training.user_ids), len(training.item_ids))
    found = metrics_of(opened(assemble(training, rating, None, facts={}), tmp_path), holdout)
    assert list(by_name(found["ranking"], "ranker")) == ["RATING_HEAD", "POPULARITY"]


def test_without_ratings_whatever_is_held_out_is_relevant_and_no_rating_is_measured(tmp_path: Path) -> None:
    """As if every rating had been the best one; the order of the items is the ranking head's alone."""
    training, holdout = parts(0)
    rating, ranking = random_heads(0, len(training.user_ids), len(training.item_ids))
    found = metrics_of(
        opened(assemble(chosen(training), None, ranking, {}), tmp_path / "bare"), chosen(holdout)
    )
    best = replace(holdout, rating=np.full(len(holdout), 5, np.float32))
    graded = metrics_of(opened(assemble(training, rating, ranking, {}), tmp_path / "full"), best)
    assert found["rating"] == []
    assert found["ranking_users"] == graded["ranking_users"] == len(holdout.user_ids)
    assert found["ranking"] == [row for row in graded["ranking"] if row["ranker"] != "RATING_HEAD"]


def chosen(ratings: Ratings) -> Ratings:
    """The same rows without ratings."""
    users, items = ratings.user_ids[ratings.user_index], ratings.item_ids[ratings.item_index]
    return from_rows(list(users), list(items), None, scale=None)


def test_a_holdout_without_a_relevant_item_has_no_ranking_metrics(tmp_path: Path) -> None:
    training = table([(0, 0, 5.0), (1, 1, 1.0)])
    holdout = table([(0, 1, 2.0), (1, 0, 3.0)])
    rating, ranking = random_heads(0, 2, 2)
    found = metrics_of(opened(assemble(training, rating, ranking, facts={}), tmp_path), holdout)
    assert found["ranking_users"] == 0
    assert found["ranking"] == []
    assert len(found["rating"]) == 3


def test_a_rating_on_the_border_of_the_upper_quarter_is_relevant(tmp_path: Path) -> None:
    """The border of a scale of 0.1 to 0.9 is 0.7, which float32 rounds down."""
    from mfserve_registry.spec import RatingScale

    scale = RatingScale(minimum=0.1, maximum=0.9)
    training = replace(table([(0, 0, 0.5), (1, 1, 0.5)]), scale=scale)
    holdout = replace(table([(0, 1, 0.7), (1, 0, 0.6)]), scale=scale)
    rating, ranking = random_heads(0, 2, 2)
    found = metrics_of(opened(assemble(training, rating, ranking, facts={}), tmp_path), holdout)
    assert found["ranking_users"] == 1
