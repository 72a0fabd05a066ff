"""What the pictures show, against loops over the rows."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from statistics import NormalDist, mean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfserve_registry.spec import RatingScale
from mfserve_scoring import Head, Recommender
from mfserve_trainer.report import activity, calibration, deviation, holdout, popularity
from mfserve_trainer.report.holdout import Holdout, Predicted, Recommended, predicted, recommended
from tests.trainer.report.samples import Sample

SCALE = RatingScale(minimum=1, maximum=5)

rows_of_pairs = st.lists(st.tuples(st.floats(1, 5), st.integers(1, 5)), min_size=1, max_size=60)


def test_held_out_rows_are_answered_as_served(fit: Sample) -> None:
    found = predicted(fit.holdout)
    recommender = Recommender(fit.snapshot)
    trained: Counter[str] = Counter()
    held = set(fit.held_out.tolist())
    ratings = fit.ratings
    for row in range(len(ratings)):
        if row not in held:
            trained[f"user {ratings.user_ids[ratings.user_index[row]]}"] += 1
            trained[f"item {ratings.item_ids[ratings.item_index[row]]}"] += 1
    for place, row in enumerate(fit.held_out):
        user, item = ratings.user_ids[ratings.user_index[row]], ratings.item_ids[ratings.item_index[row]]
        assert found.predicted[place] == recommender.predict(user, item).rating
        assert found.actual[place] == ratings.rating[row]
        assert found.user_ratings[place] == trained[f"user {user}"]
        assert found.item_ratings[place] == trained[f"item {item}"]
    assert (found.user_ratings == 0).any()
    assert (found.item_ratings == 0).any()


def test_lists_are_those_that_would_be_served(fit: Sample) -> None:
    found = recommended(fit.holdout, seed=0)
    assert list(found.slots) == ["RANKING_HEAD", "RATING_HEAD", "POPULARITY"]
    assert found.users == found.of_users == len(fit.holdout.rows.user_ids)
    recommender = Recommender(fit.snapshot)
    for name, head in (("RANKING_HEAD", Head.RANKING), ("RATING_HEAD", Head.RATING)):
        slots: Counter[int] = Counter()
        for user in fit.holdout.rows.user_ids:
            slots.update(recommender.recommend(user, 10, head=head).item_indices.tolist())
        assert found.slots[name].tolist() == [slots[item] for item in range(len(fit.snapshot.items))]


def test_what_is_a_sample_says_so(fit: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fit.holdout.note() == ""
    assert recommended(fit.holdout, seed=0).note() == ""
    monkeypatch.setattr(holdout, "MOST_ROWS", 20)
    monkeypatch.setattr(holdout, "MOST_USERS", 7)
    some = Holdout.sample(fit.snapshot, fit.ratings.take(fit.held_out), seed=0)
    again = Holdout.sample(fit.snapshot, fit.ratings.take(fit.held_out), seed=0)
    other = Holdout.sample(fit.snapshot, fit.ratings.take(fit.held_out), seed=1)
    assert len(some.rows) == 20
    assert some.rows.fingerprint == again.rows.fingerprint != other.rows.fingerprint
    assert f"20 of {len(fit.held_out):,} held-out ratings" in some.note()
    lists = recommended(some, seed=0)
    assert lists.users == 7
    everybody = len(set(fit.ratings.user_index[fit.held_out].tolist()))
    assert len(some.rows.user_ids) < everybody
    assert f"7 of {everybody} users" in lists.note()
    assert lists.slots["POPULARITY"].sum() == 70


@given(st.lists(st.tuples(st.floats(1, 5), st.integers(1, 5), st.integers(0, 300_000)), min_size=1))
def test_groups_by_what_is_known(rows: list[tuple[float, int, int]]) -> None:
    guesses, actual, known = (np.array(column) for column in zip(*rows, strict=True))
    found = activity.groups(known, Predicted(guesses, actual.astype(float), known, known), mean=3.0)
    assert sum(group.count for group in found) == len(rows)
    assert [group.first for group in found] == sorted({group.first for group in found})
    for group in found:
        last = math.inf if group.last is None else group.last
        inside = [(guess, truth) for guess, truth, count in rows if group.first <= count <= last]
        assert len(inside) == group.count > 0
        assert group.rmse == pytest.approx(math.sqrt(mean((g - t) ** 2 for g, t in inside)))
        assert group.mean_rmse == pytest.approx(math.sqrt(mean((3.0 - t) ** 2 for _, t in inside)))


def test_groups_are_named_as_people_count() -> None:
    labels = [
        activity.Group(first, last, 1, 0, 0).label
        for first, last in [(0, 0), (10, 19), (1000, 1999), (100_000, None)]
    ]
    assert labels == ["0", "10–19", "1,000–1,999", "100,000+"]


@given(rows_of_pairs)
def test_calibration_bins(rows: list[tuple[float, int]]) -> None:
    found = calibration.bins(np.array([p for p, _ in rows]), np.array([float(r) for _, r in rows]), SCALE)
    expected: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for guess, truth in rows:
        expected[min(19, int((guess - 1) / 4 * 20))].append((guess, truth))
    assert len(found) == len(expected)
    for one, (_, inside) in zip(found, sorted(expected.items()), strict=True):
        assert one.count == len(inside)
        assert one.predicted == pytest.approx(mean(guess for guess, _ in inside))
        truths = [float(truth) for _, truth in inside]
        assert one.actual == pytest.approx(mean(truths))
        assert one.error == pytest.approx(
            stdev(truths) / math.sqrt(len(truths)) if len(truths) > 1 else 0.0, abs=1e-12
        )


def test_a_normal_truth_lies_within_its_deviations_as_often_as_a_normal() -> None:
    random = np.random.default_rng(0)
    stddev = random.uniform(0.5, 1.5, 200_000)
    truth = random.normal(3.0, stddev)
    guess = np.full(len(truth), 3.0)
    assert deviation.within(guess, stddev, truth, 1) == pytest.approx(0.6827, abs=0.004)
    assert deviation.within(guess, stddev, truth, 2) == pytest.approx(0.9545, abs=0.002)
    expected = [2 * NormalDist().cdf(z) - 1 for z in (0.5, 1.0, 2.0)]
    assert deviation.normal_share(np.array([0.5, 1.0, 2.0])) == pytest.approx(expected)
    drawn = deviation.picture(guess, 2 * stddev, truth, note="").figure
    assert drawn is not None
    (marked,) = (r.data_source.data for r in drawn.renderers if r.glyph.__class__.__name__ == "Text")
    assert marked["label"] == [f"{deviation.within(guess, 2 * stddev, truth, z):.1%}" for z in (1, 2)]


counts = st.lists(st.integers(0, 50), min_size=1, max_size=60).filter(any)


@given(counts)
def test_shares_by_tenth_of_popularity(weights: list[int]) -> None:
    ratings = np.arange(len(weights))[::-1] * 3  # item 0 is the most rated
    shares = popularity.by_tenth(np.array(weights), ratings)
    assert shares.sum() == pytest.approx(1)
    for tenth in range(10):
        items = [item for item in range(len(weights)) if item * 10 // len(weights) == tenth]
        assert shares[tenth] == pytest.approx(sum(weights[item] for item in items) / sum(weights))


@given(counts)
def test_concentration_is_the_share_of_the_most_frequent(weights: list[int]) -> None:
    curve = popularity.concentration(np.array(weights))
    falling = sorted(weights, reverse=True)
    assert curve == pytest.approx([sum(falling[:n]) / sum(weights) for n in range(len(weights) + 1)])


def test_a_ranker_whose_lists_are_all_empty_is_left_out() -> None:
    slots = {"RATING_HEAD": np.array([2, 1, 0]), "POPULARITY": np.zeros(3, dtype=np.int64)}
    lists = Recommended(slots, item_ratings=np.array([5, 4, 1]), users=1, of_users=1)
    for picture in (popularity.popularity_picture(lists), popularity.coverage_picture(lists)):
        assert picture.figure is not None
        entries = [item.label.value for legend in picture.figure.legend for item in legend.items]
        assert [entry.partition(":")[0] for entry in entries] == ["Ratings", "Rating head"]
