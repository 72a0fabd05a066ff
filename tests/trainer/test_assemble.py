"""What a snapshot says beside the heads, against counting by hand."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from mfserve_trainer.assemble import DAMPING, assemble, damped_means
from tests.trainer.engines.synthetic import random_table
from tests.trainer.samples import random_heads


def test_content_counts_the_ratings() -> None:
    ratings = random_table(seed=3)
    rating, ranking = random_heads(0, len(ratings.user_ids), len(ratings.item_ids))
    content = assemble(ratings, rating, ranking, {"spec": {}})

    of_user: defaultdict[int, dict[int, float]] = defaultdict(dict)
    of_item: defaultdict[int, list[float]] = defaultdict(list)
    for user, item, value in zip(ratings.user_index, ratings.item_index, ratings.rating, strict=True):
        of_user[int(user)][int(item)] = float(value)
        of_item[int(item)].append(float(value))
    mean = sum(map(float, ratings.rating)) / len(ratings)
    assert content.user_means is not None
    assert content.mean_rating == pytest.approx(mean, rel=1e-12)
    for user in range(len(ratings.user_ids)):
        assert content.rated.of(user).tolist() == sorted(of_user[user])
        values = list(of_user[user].values())
        damped = (sum(values) + DAMPING * mean) / (len(values) + DAMPING)
        assert content.user_means[user] == pytest.approx(damped, rel=1e-6)
    for item in range(len(ratings.item_ids)):
        assert content.item_counts[item] == len(of_item[item])
    assert content.item_titles is None
    assert content.rating is rating
    assert content.ranking is ranking


def test_damped_mean_without_ratings_is_the_mean_of_all_and_with_many_the_own() -> None:
    index = np.repeat(np.array([1], dtype=np.int32), 100_000)
    means = damped_means(index, np.full(100_000, 5, dtype=np.float32), size=2, mean=3.0)
    assert means[0] == 3.0
    assert means[1] == pytest.approx(5.0, abs=1e-3)
