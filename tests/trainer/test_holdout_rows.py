"""What is kept of a holdout fit, and its numbers again from the file alone."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from mfserve_trainer import holdout_rows
from mfserve_trainer.assemble import assemble
from mfserve_trainer.evaluation import evaluate
from mfserve_trainer.holdout_rows import HoldoutRows
from mfserve_trainer.ratings import Ratings
from tests.trainer.samples import random_heads
from tests.trainer.test_evaluation import opened, parts


def rows_of(
    training: Ratings, holdout: Ratings, folder: Path, *, seed: int = 0
) -> tuple[HoldoutRows, dict[str, float]]:
    """Of a snapshot of random numbers, and what the evaluation says of it."""
    heads = random_heads(seed, len(training.user_ids), len(training.item_ids))
    snapshot = opened(assemble(training, *heads, facts={}), folder)
    found = evaluate(snapshot, holdout)
    told = {"rmse": found.metrics["rating"][0]["rmse"], "ndcg": found.metrics["ranking"][0]["ndcg_at_10"]}
    return HoldoutRows.of(found, snapshot, holdout), told


@pytest.mark.parametrize("seed", range(3))
def test_the_file_gives_back_the_metrics_of_the_evaluation(tmp_path: Path, seed: int) -> None:
    """Of users and items that the fit did not know, too: the holdout has some of both."""
    made, told = rows_of(*parts(seed), tmp_path, seed=seed)
    read = HoldoutRows.read(made.artifact().data)
    for field in fields(HoldoutRows):
        np.testing.assert_array_equal(getattr(read, field.name), getattr(made, field.name))
    assert len(read) == len(parts(seed)[1])
    assert read.rmse() == pytest.approx(told["rmse"])
    assert read.ndcg_at_10(read.relevant) == pytest.approx(told["ndcg"])


def test_the_same_ratings_give_the_same_file(tmp_path: Path) -> None:
    first, again = (rows_of(*parts(0), tmp_path / name)[0].artifact() for name in ("first", "again"))
    assert first == again


def test_two_versions_meet_in_the_rows_that_both_held_out_and_that_were_not_rated_anew(
    tmp_path: Path,
) -> None:
    training, holdout = parts(0)
    mine, theirs = np.arange(0, 300), np.arange(200, len(holdout))
    ours, _ = rows_of(training, holdout.take(mine), tmp_path / "ours")
    anew = holdout.take(theirs)
    changed = anew.rating.copy()
    changed[:10] = 6 - changed[:10]  # a 3 stays what it is
    others, _ = rows_of(training, replace(anew, rating=changed), tmp_path / "others", seed=1)
    kept = 100 - np.count_nonzero(anew.rating[:10] != 3)

    both, beside = ours.with_those_of(others)
    assert len(both) == len(beside) == kept
    np.testing.assert_array_equal(both.row, beside.row)
    np.testing.assert_array_equal(both.user, beside.user)
    np.testing.assert_array_equal(both.rating, beside.rating)
    assert not np.array_equal(both.predicted, beside.predicted)


def test_of_many_rows_both_versions_keep_the_same_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training, holdout = parts(0)
    whole, _ = rows_of(training, holdout, tmp_path / "whole")
    monkeypatch.setattr(holdout_rows, "MOST_ROWS", 50)
    first, _ = rows_of(training, holdout, tmp_path / "first")
    second, _ = rows_of(training, holdout.take(np.arange(len(holdout))[::-1]), tmp_path / "second")
    np.testing.assert_array_equal(first.row, whole.row[:50])
    assert [len(rows) for rows in first.with_those_of(second)] == [50, 50]


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 and no more", b"text"])
def test_what_is_no_such_file_is_not_read(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"holdout\.npz cannot be read"):
        HoldoutRows.read(data)
