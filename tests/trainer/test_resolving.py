"""What a specification leaves to the trainer."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mfserve_registry.errors import FailedPrecondition
from mfserve_registry.spec import (
    AlsConfig,
    AutoRating,
    BayesConfig,
    KerasConfig,
    NoRanking,
    NoRating,
    TrainingSpec,
    TuningConfig,
)
from mfserve_trainer.ratings import Ratings, from_rows
from mfserve_trainer.resolving import resolve
from tests.trainer.engines.synthetic import SCALE

RATED = from_rows(["a"], ["x"], [3], scale=SCALE)
CHOSEN = from_rows(["a"], ["x"], None, scale=None, name="clicks.csv")


@pytest.mark.parametrize(
    ("asked", "ratings", "taken"),
    [
        (AutoRating(), CHOSEN, NoRating()),
        (NoRating(), CHOSEN, NoRating()),
        (NoRating(), RATED, NoRating()),
        (AutoRating(), RATED, BayesConfig()),
        (AlsConfig(factors=3), RATED, AlsConfig(factors=3)),
        (KerasConfig(), RATED, KerasConfig()),
    ],
)
def test_the_rating_engine(asked: Any, ratings: Ratings, taken: Any) -> None:
    spec = TrainingSpec(rating=asked, seed=7)
    assert resolve(spec, ratings) == TrainingSpec(rating=taken, seed=7)


@pytest.mark.parametrize(
    ("most_ratings", "most_rows", "taken"), [(2, 3, BayesConfig()), (1, 3, AlsConfig()), (2, 2, AlsConfig())]
)
def test_auto_goes_by_size(
    monkeypatch: pytest.MonkeyPatch, most_ratings: int, most_rows: int, taken: Any
) -> None:
    monkeypatch.setattr("mfserve_trainer.resolving.BAYES_MOST_RATINGS", most_ratings)
    monkeypatch.setattr("mfserve_trainer.resolving.BAYES_MOST_ROWS", most_rows)
    two = from_rows(["a", "b"], ["x", "x"], [3, 4], scale=SCALE)
    assert resolve(TrainingSpec(), two).rating == taken


@pytest.mark.parametrize("engine", [AlsConfig(), BayesConfig(), KerasConfig()])
def test_an_engine_that_needs_ratings_is_refused_where_there_are_none(engine: Any) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        resolve(TrainingSpec(rating=engine), CHOSEN)
    assert (caught.value.reason, caught.value.field) == ("RATINGS_MISSING", f"spec.{engine.engine}")
    assert caught.value.metadata == {"engine": engine.engine}
    assert caught.value.message.startswith(
        f"clicks.csv is implicit. It has no ratings for the engine '{engine.engine}' to learn from."
    )


def test_a_rating_head_that_is_not_there_cannot_be_tuned() -> None:
    with pytest.raises(ValidationError, match="none is trained"):
        TrainingSpec(rating=NoRating(), tuning=TuningConfig(head="rating"))
    with pytest.raises(FailedPrecondition, match="there is no rating head to tune") as caught:
        resolve(TrainingSpec(tuning=TuningConfig(head="rating")), CHOSEN)
    assert (caught.value.reason, caught.value.field) == ("RATINGS_MISSING", "spec.tuning.head")


def test_no_head_at_all_is_refused() -> None:
    with pytest.raises(ValidationError, match="there is nothing to train"):
        TrainingSpec(rating=NoRating(), ranking=NoRanking())
    with pytest.raises(FailedPrecondition, match="there is nothing to train") as caught:
        resolve(TrainingSpec(ranking=NoRanking()), CHOSEN)
    assert (caught.value.reason, caught.value.field) == ("RATINGS_MISSING", "spec.no_ranking")
