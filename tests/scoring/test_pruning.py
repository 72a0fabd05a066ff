"""A search that ends before the last item, against the brute-force oracle."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mfserve_scoring.bounds import Bounds
from mfserve_scoring.exact import dots
from mfserve_scoring.excluded import NOTHING, Excluded
from mfserve_scoring.rankers import ByRanking, ByRating, Ranker
from mfserve_scoring.ratings import RatingModel
from mfserve_scoring.topk import CHUNK, ExactTopK
from tests.registry.snapshot.samples import random_content, rated_items
from tests.scoring.oracle import scores_of


def catalogue(random: np.random.Generator, n: int, kind: str) -> NDArray[np.float32]:
    """float32 (n, 4): norms that make ends of searches likely, and mistakes there too."""
    items = random.standard_normal((n, 4))
    if kind == "skewed":
        items *= 10.0 ** -(6 * random.random((n, 1)))
    elif kind == "steps":  # many equal norms and equal scores
        items = np.rint(items)
    elif kind == "one direction":  # scores reach their bound
        items = np.outer(np.rint(8 * random.random(n)), [1, 2, -1, 3])
    elif kind == "mostly zero":
        items[random.random(n) < 0.9] = 0
    elif kind == "huge":
        items *= 10.0 ** random.integers(-30, 38, (n, 1))
    return items.clip(-3e38, 3e38).astype(np.float32)


KINDS = ["skewed", "steps", "one direction", "mostly zero", "huge"]


def ordered(items: NDArray[np.float32], order: str) -> NDArray[np.float32]:
    norms = np.linalg.norm(items.astype(np.float64), axis=1)
    if order == "descending":
        return items[np.argsort(-norms, kind="stable")]
    return items[np.argsort(norms, kind="stable")] if order == "ascending" else items


@settings(max_examples=250, deadline=None)
@given(st.data())
def test_equals_the_oracle_wherever_it_ends(data: st.DataObject) -> None:
    random = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), label="seed"))
    n = data.draw(st.integers(1, 900), label="items")
    items = ordered(
        catalogue(random, n, data.draw(st.sampled_from(KINDS), label="kind")),
        data.draw(st.sampled_from(["descending", "ascending", "any"]), label="order"),
    )
    users = catalogue(random, 5, data.draw(st.sampled_from(KINDS), label="users"))
    limit = data.draw(st.sampled_from([1, 2, 10, 200]), label="limit")
    bias = offsets = None
    if data.draw(st.booleans(), label="biased"):
        size = data.draw(st.sampled_from([1e-3, 1.0, 1e3, 1e37]), label="size of biases")
        bias = (size * random.standard_normal(n)).astype(np.float32)
        offsets = size * random.standard_normal(5)
    share = data.draw(st.sampled_from([0.0, 0.1, 0.9, 1.0]), label="share rated")
    rated = rated_items([np.flatnonzero(random.random(n) < share).tolist() for _ in users])
    chunk = data.draw(st.sampled_from([64, 128, 300, CHUNK]), label="chunk")
    search = ExactTopK(items, bias=bias, chunk=chunk)

    excluded = Excluded.seen(rated, np.arange(5), NOTHING)
    together = search.search(users, limit, offsets=offsets, excluded=excluded)
    ends = np.cumsum(together.counts)
    for row, user in enumerate(users):
        scores = scores_of(user, items, bias, 0.0 if offsets is None else float(offsets[row]))
        left = np.setdiff1d(np.arange(n), rated.of(row))
        expected = left[np.argsort(-scores[left], kind="stable")][:limit]
        part = slice(ends[row] - together.counts[row], ends[row])
        assert together.indices[part].tolist() == expected.tolist()
        assert together.scores[part].tobytes() == scores[expected].tobytes()
        item, score = search.search_one(
            user, limit, offset=None if offsets is None else float(offsets[row]), excluded=rated.of(row)
        )
        assert item.tolist() == expected.tolist()
        assert score.tobytes() == scores[expected].tobytes()


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 900), st.sampled_from(KINDS))
def test_no_item_exceeds_the_bounds(seed: int, n: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    items = catalogue(random, n, kind).astype(np.float64)
    bias = random.standard_normal(n).astype(np.float32)
    users = catalogue(random, 3, "steps").astype(np.float64)
    norms, user_norms = np.linalg.norm(items, axis=1), np.linalg.norm(users, axis=1)
    bounds = Bounds.of(norms, bias)
    scores = users @ items.T + bias
    needed = np.median(scores, axis=1)
    enough = 1e-9 * (user_norms * norms.max() + 5)
    for start in range(0, n, 77):
        concerned, stop = bounds.ahead(user_norms, needed, start, n)
        for user in range(3):
            high = np.flatnonzero(scores[user] > needed[user] + enough[user])
            assert (high < bounds.end(user_norms[user], needed[user])).all()
            high = high[high >= start]
            assert user in concerned or not len(high)
            assert (high < stop).all()


class Counting(ExactTopK):
    """Notes how far it looks."""

    furthest = 0

    def _scale_and_add_bias(self, scores: NDArray[np.float32], start: int, stop: int) -> None:
        self.furthest = max(self.furthest, stop)
        super()._scale_and_add_bias(scores, start, stop)


@pytest.mark.parametrize("rows", [1, 20])
def test_ends_early_where_norms_descend_and_only_if_it_may(rows: int) -> None:
    random = np.random.default_rng(5)
    items = random.standard_normal((6000, 8)).astype(np.float32)
    items *= (1 / np.sqrt(1 + np.arange(6000)))[:, np.newaxis].astype(np.float32)
    items = ordered(items, "descending")
    users = random.standard_normal((rows, 8)).astype(np.float32)
    furthest: dict[Any, int] = {}
    for prune in (True, False):
        search = Counting(items, prune=prune)
        search.search(users, 10)
        furthest[prune] = search.furthest
    assert furthest == {True: 768, False: 6000}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 130))
def test_a_dot_product_is_right_to_its_last_places(seed: int, factors: int) -> None:
    """Against the exact sum: the oracle of the searches adds up as ``dots`` does, so this must not rest on it."""
    random = np.random.default_rng(seed)
    left, right = random.standard_normal((2, 6, factors)).astype(np.float32)
    for a, b, found in zip(left.tolist(), right.tolist(), dots(left, right), strict=True):
        terms = [x * y for x, y in zip(a, b, strict=True)]
        bound = 2**-53 * factors / (1 - 2**-53 * factors) * math.fsum(map(abs, terms))
        assert abs(found - math.fsum(terms)) <= bound


@pytest.mark.parametrize("head", ["ranking", "rating"])
def test_a_ranker_gives_one_user_what_it_gives_several(head: str) -> None:
    content = random_content(8, users=9, items=50)
    assert content.ranking is not None
    content.ranking.user_factors[4] = 0
    content.ranking.user_factors[5, 0] = 0
    model = RatingModel(content.rating, content.scale)
    ranker: Ranker = (
        ByRanking(content.ranking, content.scale) if head == "ranking" else ByRating(content.rating, model)
    )
    users = np.arange(9)
    assert ranker.knows(users).tolist() == [head == "rating" or user != 4 for user in users]
    together = ranker.search(users, 10, Excluded.seen(content.rated, users, NOTHING))
    ends = np.cumsum(together.counts)
    for user in users.tolist():
        vector = ranker.of_user(user)
        if not ranker.knows(users)[user]:
            assert vector is None
            continue
        assert vector is not None
        found = ranker.top.search_one(
            vector.factors, 10, offset=vector.offset, excluded=content.rated.of(user)
        )
        part = slice(ends[user] - together.counts[user], ends[user])
        assert found[0].tolist() == together.indices[part].tolist()
        assert found[1].tobytes() == together.scores[part].tobytes()
