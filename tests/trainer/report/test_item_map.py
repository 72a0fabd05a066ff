"""The map of the items."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mfserve_registry.snapshot.content import RankingHead
from mfserve_trainer.report import item_map
from tests.trainer.report.samples import Sample


def two_clusters() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    random = np.random.default_rng(0)
    centre = np.where(np.arange(80)[:, None] % 2 == 0, 1.0, -1.0) * np.ones(6)
    return (centre + random.normal(scale=0.2, size=(80, 6))).astype(np.float32)


def test_neighbours_of_the_embedding_are_neighbours_on_the_map() -> None:
    vectors = two_clusters()
    vectors *= np.random.default_rng(1).uniform(0.1, 10, (80, 1)).astype(np.float32)  # lengths say nothing
    placed = item_map.place(vectors, np.arange(80, dtype=np.int32), seed=0)
    assert placed is not None
    assert placed.items.tolist() == list(range(79, -1, -1))  # the most rated first
    plane = np.stack((placed.x, placed.y), axis=1)
    distance = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = placed.items[distance.argmin(axis=1)]
    assert (nearest % 2 == placed.items % 2).all()
    assert np.ptp(placed.x) > np.ptp(placed.y)
    again = item_map.place(vectors, np.arange(80, dtype=np.int32), seed=0)
    assert again is not None
    assert np.array_equal(placed.x, again.x)
    assert np.array_equal(placed.y, again.y)


def test_only_the_most_rated_items_that_have_an_embedding_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_map, "MOST_ITEMS", 20)
    vectors = two_clusters()
    vectors[79] = 0
    placed = item_map.place(vectors, np.arange(80, dtype=np.int32), seed=0)
    assert placed is not None
    assert placed.items.tolist() == list(range(78, 58, -1))


@pytest.mark.parametrize(
    "vectors",
    [np.zeros((30, 4)), np.ones((30, 4)), np.random.default_rng(0).normal(size=(30, 1)), np.eye(4)],
    ids=["no embedding", "one direction", "one factor", "four items"],
)
def test_too_little_for_a_map_says_so(
    fit: Sample, vectors: np.ndarray[tuple[int, int], np.dtype[np.float64]]
) -> None:
    factors = vectors.astype(np.float32)
    assert item_map.place(factors, np.ones(len(factors), dtype=np.int32), seed=0) is None
    ranking = replace(_ranking(fit), item_factors=factors)
    content = replace(fit.content, ranking=ranking, item_counts=np.ones(len(factors), dtype=np.int32))
    picture = item_map.picture(content, seed=0)
    assert picture.figure is None
    assert "too few" in picture.caption


def _ranking(fit: Sample) -> RankingHead:
    assert fit.content.ranking is not None
    return fit.content.ranking


def test_names_are_not_written_over_each_other() -> None:
    random = np.random.default_rng(0)
    placed = item_map.Placed(np.arange(300), random.uniform(0, 10, 300), random.uniform(0, 4, 300))
    chosen = item_map.names_apart(placed, share=0.2)
    assert chosen[0] == 0
    assert 10 < len(chosen) <= 40
    width, height = 0.2 * np.ptp(placed.x), 0.2 / 6 * np.ptp(placed.y)
    for place, one in enumerate(chosen):
        for other in chosen[:place]:
            apart = (
                abs(placed.x[one] - placed.x[other]) >= width,
                abs(placed.y[one] - placed.y[other]) >= height,
            )
            assert any(apart)


def test_a_long_name_is_cut() -> None:
    assert item_map.shorten("Alien (1979)") == "Alien (1979)"
    assert item_map.shorten("a" * 26) == "a" * 26
    assert item_map.shorten("a" * 27) == "a" * 25 + "…"
