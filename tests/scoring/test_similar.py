"""Similar items against cosines computed one by one."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mfserve_registry.errors import NotFound
from mfserve_scoring import Recommender
from mfserve_scoring.similar import Neighbours
from tests.registry.snapshot.samples import random_content
from tests.scoring.oracle import best
from tests.scoring.snapshots import opened
from tests.scoring.strategies import matrices


def cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    a, b = left.astype(float).tolist(), right.astype(float).tolist()
    length = math.hypot(*a) * math.hypot(*b)
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / length if length else 0.0


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_equals_the_cosines(data: st.DataObject) -> None:
    factors = data.draw(matrices(st.integers(1, 40), data.draw(st.integers(1, 12))))
    item = data.draw(st.integers(0, len(factors) - 1))
    found = Neighbours(factors).of(item, data.draw(st.integers(1, 50)))
    expected = [cosine(factors[item], other) for other in factors]
    assert item not in found.item_indices
    assert np.isfinite(found.similarities).all()
    np.testing.assert_allclose(found.similarities, np.take(expected, found.item_indices), atol=1e-6)
    left = sorted((score for index, score in enumerate(expected) if index != item), reverse=True)
    np.testing.assert_allclose(found.similarities, left[: len(found.similarities)], atol=1e-6)


def test_the_order_is_exact_and_ties_go_by_the_index() -> None:
    """Multiples by powers of two have exactly equal cosines."""
    random = np.random.default_rng(61)
    factors = np.rint(8 * random.standard_normal((30, 5))).astype(np.float32)
    factors[10:20] = factors[:10] * 4
    factors[25] = 0
    for item in (0, 10, 25):
        found = Neighbours(factors).of(item, 29)
        norms = np.sqrt((factors.astype(np.float64) ** 2).sum(axis=1))
        inverse = np.divide(1, norms, out=np.zeros(30), where=norms > 0)
        scores = (factors.astype(np.float64) * factors[item].astype(np.float64)).sum(axis=1) * inverse
        assert found.item_indices.tolist() == best(scores, 29, [item])
        assert 0 <= found.similarities.max() <= 1


def test_an_item_of_no_direction_is_like_nothing() -> None:
    factors = np.eye(4, dtype=np.float32)
    factors[2] = 0
    found = Neighbours(factors).of(2, 3)
    assert found.item_indices.tolist() == [0, 1, 3]
    assert found.similarities.tolist() == [0, 0, 0]


def test_the_ranking_head_is_compared_where_there_is_one() -> None:
    content = random_content(62, items=20)
    assert content.ranking is not None
    expected = Neighbours(content.ranking.item_factors).of(4, 5)
    found = Recommender(opened(content)).similar_items("i4", 5)
    assert found.item_indices.tolist() == expected.item_indices.tolist()
    assert found.similarities.tobytes() == expected.similarities.tobytes()
    expected = Neighbours(content.rating.item_factors).of(4, 5)
    found = Recommender(opened(replace(content, ranking=None))).similar_items("i4", 5)
    assert found.item_indices.tolist() == expected.item_indices.tolist()


def test_the_only_item_is_like_no_other() -> None:
    recommender = Recommender(opened(random_content(63, items=1)))
    assert len(recommender.similar_items("i0", 10).item_indices) == 0


def test_an_unknown_item_is_not_found() -> None:
    recommender = Recommender(opened(random_content(64)))
    with pytest.raises(NotFound) as caught:
        recommender.similar_items("nothing", 10)
    assert caught.value.reason == "ITEM_NOT_FOUND"
    assert caught.value.field == "item_id"
