"""Fold-in against least squares on stacked equations, and against alternating least squares itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.snapshot import RankingHead, RatingHead, SnapshotContent
from mfserve_registry.spec import RatingScale
from mfserve_scoring import Basis, Head, Recommender
from mfserve_scoring.foldin import RankingFoldIn, RatingFoldIn
from tests.registry.snapshot.samples import random_content, rated_items, rating_of
from tests.scoring.oracle import best, scores_of
from tests.scoring.snapshots import opened, predicted_by

SCALE = RatingScale(minimum=1, maximum=5)
Doubles = NDArray[np.float64]


def stacked(rows: list[Doubles], targets: list[Doubles]) -> Doubles:
    """Minimises Σ ‖A x − t‖² over all blocks, by QR or SVD instead of normal equations."""
    return np.linalg.lstsq(np.vstack(rows), np.concatenate(targets))[0].astype(np.float64)


def histories(items: int) -> st.SearchStrategy[dict[int, float]]:
    return st.dictionaries(st.integers(0, items - 1), st.floats(1, 5), min_size=1, max_size=items)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1000), histories(15), st.booleans(), st.floats(0.01, 10))
def test_rating_fold_in_is_the_ridge_solution(
    seed: int, history: dict[int, float], folds_bias: bool, penalty: float
) -> None:
    head = replace(random_content(seed, items=15).rating, folds_bias=folds_bias, regularization=penalty)
    items = np.array(sorted(history), dtype=np.int32)
    ratings = np.array([history[item] for item in sorted(history)])
    rows = head.item_factors[items].astype(np.float64)
    if folds_bias:
        rows = np.hstack((rows, np.ones((len(rows), 1))))
    ridge = np.sqrt(penalty * len(items)) * np.eye(rows.shape[1])
    rest = ratings - head.intercept - head.item_biases[items].astype(np.float64)
    expected = stacked([rows, ridge], [rest, np.zeros(len(ridge))])

    folded = RatingFoldIn(head).solve(items, ratings)
    np.testing.assert_allclose(folded.factors, expected[:3], rtol=1e-5, atol=1e-6)
    assert folded.bias == pytest.approx(expected[3] if folds_bias else 0.0, rel=1e-9, abs=1e-9)
    assert folded.factors.dtype == np.float32


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1000), histories(15), st.sampled_from([0.0, 0.5, 1.0, 2.0]), st.floats(0.01, 10))
def test_ranking_fold_in_minimises_the_implicit_loss(
    seed: int, history: dict[int, float], exponent: float, penalty: float
) -> None:
    head = random_content(seed, items=15).ranking
    assert head is not None
    head = replace(head, frequency_exponent=exponent, regularization=penalty)
    items = np.array(sorted(history), dtype=np.int32)
    ratings = np.array([history[item] for item in sorted(history)])
    targets = np.array([target_of(rating, head.targets) for rating in ratings])
    everything = head.item_factors.astype(np.float64)
    strength = penalty * (len(items) + head.unobserved_weight * 15) ** exponent
    expected = stacked(
        [everything[items], np.sqrt(head.unobserved_weight) * everything, np.sqrt(strength) * np.eye(4)],
        [targets, np.zeros(15), np.zeros(4)],
    )
    np.testing.assert_allclose(
        RankingFoldIn(head, SCALE).solve(items, ratings), expected, rtol=1e-5, atol=1e-6
    )


def target_of(rating: float, targets: tuple[float, ...]) -> float:
    """Linear interpolation between targets that stand at equal distances over 1..5."""
    place = (rating - 1) / 4 * (len(targets) - 1)
    low = min(int(place), len(targets) - 2)
    return targets[low] + (place - low) * (targets[low + 1] - targets[low])


class Trained:
    """A little data set with factors at the fixpoint of alternating least squares, made with loops and numpy."""

    def __init__(self, users: int = 25, items: int = 30, factors: int = 3) -> None:
        random = np.random.default_rng(51)
        self.rated = random.random((users, items)) < 0.4
        self.rated[:, 0] = True
        self.ratings = random.integers(1, 6, (users, items)).astype(np.float64)
        self.content = random_content(51, users=users, items=items, factors=factors)
        self.P = random.standard_normal((users, factors)) / 10
        self.Q = random.standard_normal((items, factors)) / 10

    def rating_content(self, penalty: float = 0.1, sweeps: int = 400) -> SnapshotContent:
        """Explicit ALS with the biases inside each solve; the users' half-step comes last."""
        mean = self.ratings[self.rated].mean()
        b, c = np.zeros(len(self.P)), np.zeros(len(self.Q))

        def half_step(ones: NDArray[np.bool_], ratings: Doubles, fixed: Doubles, bias: Doubles) -> Doubles:
            solved = np.zeros((len(ones), fixed.shape[1] + 1))
            for row in range(len(ones)):
                a = np.column_stack((fixed[ones[row]], np.ones(ones[row].sum())))
                rest = ratings[row, ones[row]] - mean - bias[ones[row]]
                solved[row] = np.linalg.solve(a.T @ a + penalty * len(a) * np.eye(a.shape[1]), a.T @ rest)
            return solved

        for _ in range(sweeps):
            solved = half_step(self.rated.T, self.ratings.T, self.P, b)
            self.Q, c = solved[:, :-1], solved[:, -1]
            solved = half_step(self.rated, self.ratings, self.Q, c)
            self.P, b = solved[:, :-1], solved[:, -1]
        head = RatingHead(
            float(mean), single(b), single(c), single(self.P), single(self.Q), penalty, folds_bias=True
        )
        return self._with(head, None)

    def ranking_content(self, sweeps: int = 200) -> SnapshotContent:
        """Implicit ALS on graded targets over all pairs; the users' half-step comes last."""
        grades = (0.0, 0.1, 0.3, 0.6, 1.0)
        targets = np.where(self.rated, np.take(grades, self.ratings.astype(int) - 1), 0.0)
        penalty, alpha = 0.05, 0.35

        def half_step(ones: NDArray[np.bool_], wanted: Doubles, fixed: Doubles) -> Doubles:
            solved = np.zeros((len(ones), fixed.shape[1]))
            for row in range(len(ones)):
                weights = alpha + ones[row]
                strength = penalty * (ones[row].sum() + alpha * len(fixed))
                normal = fixed.T @ (weights[:, None] * fixed) + strength * np.eye(fixed.shape[1])
                solved[row] = np.linalg.solve(normal, fixed.T @ wanted[row])
            return solved

        for _ in range(sweeps):
            self.Q = half_step(self.rated.T, targets.T, self.P)
            self.P = half_step(self.rated, targets, self.Q)
        return self._with(
            self.content.rating, RankingHead(single(self.P), single(self.Q), penalty, alpha, 1.0, grades)
        )

    def _with(self, rating: RatingHead, ranking: RankingHead | None) -> SnapshotContent:
        rows = [np.flatnonzero(row).tolist() for row in self.rated]
        return replace(self.content, rating=rating, ranking=ranking, rated=rated_items(rows))

    def history(self, user: int) -> list[tuple[str, float]]:
        return [(f"i{item}", self.ratings[user, item]) for item in np.flatnonzero(self.rated[user])]


def single(array: Doubles) -> NDArray[np.float32]:
    return array.astype(np.float32)


@pytest.mark.parametrize("head", [Head.RATING, Head.RANKING])
def test_a_trained_users_history_gives_that_users_own_answer(head: Head) -> None:
    trained = Trained()
    content = trained.rating_content() if head is Head.RATING else trained.ranking_content()
    recommender = Recommender(opened(content))
    factors = (content.ranking or rating_of(content)).user_factors
    assert np.abs(factors).max() > 0.05  # the training did not collapse
    for user in range(25):
        own = recommender.recommend(f"u{user}", 10, head=head)
        folded = recommender.recommend_history(trained.history(user), 10, head=head)
        assert folded.basis is Basis.FOLD_IN
        assert folded.item_indices.tolist() == own.item_indices.tolist()
        np.testing.assert_allclose(folded.scores, own.scores, rtol=1e-4, atol=1e-5)
        if head is Head.RATING:
            np.testing.assert_allclose(predicted_by(folded), predicted_by(own), atol=1e-4)


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return Recommender(opened(random_content(52, users=10, items=40)))


def test_a_history_is_ranked_by_its_own_solution(recommender: Recommender) -> None:
    content = random_content(52, users=10, items=40)
    assert content.ranking is not None
    items, ratings = np.array([3, 8, 20], dtype=np.int32), np.array([5.0, 1.0, 4.0])
    history = [("i8", 1.0), ("i20", 4.0), ("i3", 5.0)]
    answer = recommender.recommend_history(history, 12, exclude_item_ids=["i0", "unknown"])
    factors = RankingFoldIn(content.ranking, SCALE).solve(items, ratings)
    expected = best(scores_of(factors, content.ranking.item_factors), 12, [3, 8, 20, 0])
    assert answer.item_indices.tolist() == expected
    folded = RatingFoldIn(content.rating).solve(items, ratings)
    predicted = scores_of(
        folded.factors,
        content.rating.item_factors,
        content.rating.item_biases,
        content.rating.intercept + folded.bias,
    )
    assert predicted_by(answer).tolist() == predicted[expected].clip(1, 5).astype(np.float32).tolist()


@pytest.mark.parametrize("head", [Head.RATING, Head.RANKING])
def test_what_counts_in_a_history(recommender: Recommender, head: Head) -> None:
    plain = recommender.recommend_history([("i1", 2.0), ("i2", 5.0)], 9, head=head)
    same = [
        [("i2", 5.0), ("i1", 2.0)],
        [("i1", 5.0), ("i2", 5.0), ("i1", 2.0)],
        [("i1", 2.0), ("unknown", 1.0), ("i2", 5.0), ("\ud800", 3.0)],
    ]
    for history in same:
        answer = recommender.recommend_history(history, 9, head=head)
        assert answer.item_indices.tolist() == plain.item_indices.tolist()
        assert answer.scores.tobytes() == plain.scores.tobytes()
        assert predicted_by(answer).tobytes() == predicted_by(plain).tobytes()
    assert not {1, 2} & {
        *recommender.recommend_history([("i1", 2.0), ("i2", 5.0)], 1000).item_indices.tolist()
    }
    everything = recommender.recommend_history([("i1", 2.0), ("i2", 5.0)], 1000, include_seen=True, head=head)
    assert sorted(everything.item_indices.tolist()) == list(range(40))


@pytest.mark.parametrize("rating", [0.99, 5.01, float("nan"), float("inf"), -1e308])
@pytest.mark.parametrize("item", ["i1", "unknown"])
def test_a_rating_off_the_scale_is_refused(recommender: Recommender, rating: float, item: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        recommender.recommend_history([("i3", 4.0), (item, rating)], 5)
    assert caught.value.field == "history"


@pytest.mark.parametrize("history", [[], [("unknown", 4.0)]])
def test_a_history_of_nothing_known_falls_back_to_popularity(
    recommender: Recommender, history: list[tuple[str, float]]
) -> None:
    answer = recommender.recommend_history(history, 5)
    assert answer.basis is Basis.POPULARITY
    assert answer.item_indices.tolist() == recommender.recommend("nobody", 5).item_indices.tolist()


def test_a_history_that_tells_nothing_falls_back_to_popularity(recommender: Recommender) -> None:
    """Only lowest ratings: every target is 0, and so are the factors."""
    answer = recommender.recommend_history([("i1", 1.0), ("i2", 1.0)], 40)
    assert answer.basis is Basis.POPULARITY
    assert not {1, 2} & {*answer.item_indices.tolist()}


def test_no_penalty_and_few_ratings_give_the_shortest_solution() -> None:
    head = replace(random_content(53, items=15).rating, regularization=0.0, folds_bias=False)
    items = np.array([4], dtype=np.int32)
    folded = RatingFoldIn(head).solve(items, np.array([5.0]))
    row = head.item_factors[4].astype(np.float64)
    rest = 5.0 - head.intercept - float(head.item_biases[4])
    np.testing.assert_allclose(folded.factors, row * rest / (row @ row), rtol=1e-5)


def test_items_with_zero_vectors_fold_in_to_a_finite_answer() -> None:
    content = random_content(54, items=15)
    assert content.ranking is not None
    zeros = np.zeros_like(content.ranking.item_factors)
    for penalty in (0.012, 0.0):
        ranking = replace(content.ranking, item_factors=zeros, regularization=penalty)
        answer = Recommender(opened(replace(content, ranking=ranking))).recommend_history([("i1", 5.0)], 3)
        assert answer.basis is Basis.POPULARITY
        assert np.isfinite(predicted_by(answer)).all()
