"""What is written, and what is refused before anything is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numpy_st
from numpy.typing import NDArray

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.snapshot import (
    RankingHead,
    RatedItems,
    RatingHead,
    Snapshot,
    SnapshotContent,
    write_snapshot,
)
from mfserve_registry.snapshot.checks import check_rated
from mfserve_registry.spec import RatingScale
from tests.registry.snapshot.samples import random_content, rated_items, rating_of

Head = TypeVar("Head", RatingHead, RankingHead)

GOLDEN = "33ef28d9375104bc2de4f0172dba2ee791ded75f7273e121044decec379e1332"


def golden_content() -> SnapshotContent:
    """Numbers that float32 holds exactly, so that no arithmetic decides the digest."""
    column = np.array([[0.5], [-1.25]], dtype=np.float32)
    pair = np.array([0.25, -0.75], dtype=np.float32)
    return SnapshotContent(
        user_ids=["anna", "jürgen"],
        item_ids=["1", "10"],
        item_titles=["Das Boot", ""],
        scale=RatingScale(minimum=0.5, maximum=5),
        mean_rating=3.25,
        user_means=pair + 3,
        item_means=pair + 2,
        item_counts=np.array([2, 0], dtype=np.int32),
        rated=rated_items([[0], [0]]),
        rating=RatingHead(3.0, pair, -pair, column, 2 * column, regularization=0.1, folds_bias=True),
        ranking=RankingHead(column, -column, 0.012, 0.35, 1.0, targets=(0.0, 0.5, 1.0)),
        facts={"spec": {"seed": 7}, "metrics": [1, 0.5, None, "ü"]},
    )


def test_the_digest_of_a_fixed_snapshot_never_changes(tmp_path: Path) -> None:
    """A change here is a change of the format: it needs a new format number and a reader for the old one."""
    assert write_snapshot(tmp_path, golden_content()) == GOLDEN


def test_reading_gives_back_what_was_written(tmp_path: Path) -> None:
    content = random_content(1)
    snapshot = Snapshot.open(tmp_path, write_snapshot(tmp_path, content))
    assert list(snapshot.users) == content.user_ids
    assert list(snapshot.items) == content.item_ids
    assert snapshot.titles is not None
    assert list(snapshot.titles) == content.item_titles
    assert snapshot.scale == content.scale
    assert snapshot.mean_rating == content.mean_rating
    assert snapshot.manifest.facts == content.facts
    assert snapshot.size_bytes == sum(file.stat().st_size for file in tmp_path.iterdir())
    for name, array in arrays_of(content).items():
        read = arrays_of(snapshot)[name]
        np.testing.assert_array_equal(read, array)
        assert read.dtype == array.dtype
    assert snapshot.ranking is not None
    assert content.ranking is not None
    for head in ("rating", "ranking"):
        scalars = scalars_of(getattr(content, head))
        assert scalars
        assert scalars_of(getattr(snapshot, head)) == scalars


def arrays_of(content: SnapshotContent | Snapshot) -> dict[str, NDArray[Any]]:
    names = ("user_means", "item_means", "item_counts")
    arrays = {name: getattr(content, name) for name in names}
    for part in ("rated", "rating", "ranking"):
        for name in getattr(content, part).__slots__:
            value = getattr(getattr(content, part), name)
            if isinstance(value, np.ndarray):
                arrays[f"{part}.{name}"] = value
    return arrays


def scalars_of(head: RatingHead | RankingHead) -> Mapping[str, Any]:
    values = {name: getattr(head, name) for name in head.__slots__}
    return {name: value for name, value in values.items() if not isinstance(value, np.ndarray)}


@pytest.mark.parametrize(("ranking", "titles"), [(False, True), (True, False), (False, False)])
def test_optional_parts_may_be_absent(tmp_path: Path, ranking: bool, titles: bool) -> None:
    content = random_content(2, ranking=ranking, titles=titles)
    snapshot = Snapshot.open(tmp_path, write_snapshot(tmp_path, content))
    assert (snapshot.ranking is not None, snapshot.titles is not None) == (ranking, titles)


def test_nobody_may_have_rated_anything(tmp_path: Path) -> None:
    content = random_content(3)
    content = replace(content, rated=rated_items([[] for _ in content.user_ids]))
    snapshot = Snapshot.open(tmp_path, write_snapshot(tmp_path, content))
    assert len(snapshot.rated.of(3)) == 0


def test_each_array_file_is_one_that_numpy_loads(tmp_path: Path) -> None:
    snapshot = Snapshot.open(tmp_path, write_snapshot(tmp_path, random_content(4)))
    for entry in snapshot.manifest.arrays.values():
        array = np.load(tmp_path / entry.file, mmap_mode="r", allow_pickle=False)
        assert (array.dtype.str, array.shape) == (entry.dtype, entry.shape)
    np.testing.assert_array_equal(
        np.load(tmp_path / "rating_user_factors.npy"), rating_of(snapshot).user_factors
    )


LAYOUTS: list[Callable[[NDArray[Any]], NDArray[Any]]] = [
    np.asfortranarray,
    lambda array: np.repeat(array, 2, axis=0)[::2],
    lambda array: array[::-1].copy()[::-1],
]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_in_memory_does_not_change_the_digest(
    tmp_path: Path, layout: Callable[[NDArray[Any]], NDArray[Any]]
) -> None:
    content = random_content(5)
    assert content.ranking is not None
    changed = replace(
        content,
        user_means=layout(content.user_means),
        rated=RatedItems(layout(content.rated.indptr), layout(content.rated.indices)),
        rating=replace(content.rating, user_factors=layout(content.rating.user_factors)),
        ranking=replace(content.ranking, item_factors=layout(content.ranking.item_factors)),
        facts={name: content.facts[name] for name in reversed([*content.facts])},
    )
    assert write_snapshot(tmp_path / "a", content) == write_snapshot(tmp_path / "b", changed)


@pytest.mark.parametrize("part", ["user_means", "item_counts", "mean_rating", "facts", "item_titles"])
def test_other_content_has_another_digest(tmp_path: Path, part: str) -> None:
    others: dict[str, Any] = {
        "user_means": random_content(7).user_means,
        "item_counts": random_content(6).item_counts + np.int32(1),
        "mean_rating": 3.25,
        "facts": {"spec": {"seed": 6.0}},
        "item_titles": None,
    }
    content = random_content(6)
    changed = replace(content, **{part: others[part]})
    assert write_snapshot(tmp_path / "a", content) != write_snapshot(tmp_path / "b", changed)


def spoiled(array: NDArray[Any], value: float) -> NDArray[Any]:
    copy = array.copy()
    copy.flat[-1] = value
    return copy


def refused(content: SnapshotContent, tmp_path: Path) -> str | None:
    folder = tmp_path / "snapshot"
    with pytest.raises(InvalidArgument) as caught:
        write_snapshot(folder, content)
    assert not folder.exists()
    return caught.value.field


def with_part(head: Head, name: str, value: float) -> Head:
    """The head with ``value`` in the place of a number, or in an array."""
    part = getattr(head, name)
    changes: dict[str, Any] = {name: spoiled(part, value) if isinstance(part, np.ndarray) else value}
    return replace(head, **changes)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_refuses_numbers_that_are_not_finite(tmp_path: Path, value: float) -> None:
    content = random_content(8)
    rating, ranking = content.rating, content.ranking
    assert ranking is not None
    changes: dict[str, SnapshotContent] = {
        "user_means": replace(content, user_means=spoiled(content.user_means, value)),
        "item_means": replace(content, item_means=spoiled(content.item_means, value)),
        **{
            f"rating_{name}": replace(content, rating=with_part(rating, name, value))
            for name in ("user_biases", "item_biases", "user_factors", "item_factors")
        },
        **{
            f"ranking_{name}": replace(content, ranking=with_part(ranking, name, value))
            for name in ("user_factors", "item_factors")
        },
        "mean_rating": replace(content, mean_rating=value),
        "rating.intercept": replace(content, rating=replace(rating, intercept=value)),
        "rating.regularization": replace(content, rating=replace(rating, regularization=value)),
        **{
            f"ranking.{name}": replace(content, ranking=with_part(ranking, name, value))
            for name in ("regularization", "unobserved_weight", "frequency_exponent")
        },
        "ranking.targets[1]": replace(content, ranking=replace(ranking, targets=(0.0, value))),
        "facts": replace(content, facts={"metrics": {"mse": value}}),
    }
    for field, changed in changes.items():
        assert refused(changed, tmp_path) == field


def test_refuses_wrong_shapes_and_dtypes(tmp_path: Path) -> None:
    content = random_content(9)
    rating, ranking = content.rating, content.ranking
    assert ranking is not None
    narrow = rating.item_factors[:, :1]
    changes: dict[str, SnapshotContent] = {
        "user_means": replace(content, user_means=content.user_means[1:]),
        "item_means": replace(content, item_means=content.item_means.astype(np.float64)),
        "item_counts": replace(content, item_counts=content.item_counts.astype(np.int64)),
        "rated_indices": replace(
            content,
            rated=RatedItems(content.rated.indptr, content.rated.indices.astype(">i4")),
        ),
        "rated_indptr": replace(content, rated=RatedItems(content.rated.indptr[1:], content.rated.indices)),
        "rating_item_factors": replace(content, rating=replace(rating, item_factors=narrow)),
        "rating_user_factors": replace(
            content, rating=replace(rating, user_factors=rating.user_factors[:, :0])
        ),
        "ranking_user_factors": replace(
            content, ranking=replace(ranking, user_factors=ranking.user_factors[0])
        ),
        "ranking_item_factors": replace(
            content, ranking=replace(ranking, item_factors=ranking.item_factors[1:])
        ),
        "item_titles": replace(content, item_titles=["one"]),
    }
    for field, changed in changes.items():
        assert refused(changed, tmp_path) == field


def test_refuses_impossible_values(tmp_path: Path) -> None:
    content = random_content(10)
    rating, ranking = content.rating, content.ranking
    assert ranking is not None
    changes: dict[str, SnapshotContent] = {
        "user_ids": replace(content, user_ids=[]),
        "item_ids": replace(content, item_ids=[]),
        "user_ids[1]": replace(content, user_ids=["u0", "u0", *content.user_ids[2:]]),
        "item_ids[10]": replace(content, item_ids=[*content.item_ids[:10], ""]),
        "item_titles[0]": replace(content, item_titles=["\udfff"] * 11),
        "item_counts": replace(content, item_counts=content.item_counts - np.int32(1)),
        "rating.regularization": replace(content, rating=replace(rating, regularization=-0.1)),
        "ranking.unobserved_weight": replace(content, ranking=replace(ranking, unobserved_weight=-1.0)),
        "ranking.targets": replace(content, ranking=replace(ranking, targets=(1.0,))),
        "facts": replace(content, facts={"spec": object()}),
    }
    for field, changed in changes.items():
        assert refused(changed, tmp_path) == field
    assert refused(replace(content, facts={"name": "\ud800"}), tmp_path) == "facts"
    assert refused(replace(content, facts={"factors": np.int64(3)}), tmp_path) == "facts"


indptrs = numpy_st.arrays(np.int64, st.integers(2, 6), elements=st.integers(-1, 6))
indices_arrays = numpy_st.arrays(np.int32, st.integers(0, 6), elements=st.integers(-1, 5))


@settings(deadline=None)
@given(indptrs, indices_arrays)
def test_accepts_exactly_the_sorted_rows(indptr: NDArray[np.int64], indices: NDArray[np.int32]) -> None:
    steps = indptr.tolist()
    rows = [indices[a:b].tolist() for a, b in pairwise(steps)]
    partition = steps[0] == 0 and steps[-1] == len(indices) and steps == sorted(steps)
    right = partition and all(row == sorted(set(row)) and set(row) <= set(range(5)) for row in rows)
    with nullcontext() if right else pytest.raises(InvalidArgument):
        check_rated(RatedItems(indptr, indices), items=5)


def test_never_overwrites_a_file(tmp_path: Path) -> None:
    write_snapshot(tmp_path, random_content(11))
    with pytest.raises(FileExistsError):
        write_snapshot(tmp_path, random_content(12))
