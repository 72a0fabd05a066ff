"""What a specification leaves to the trainer."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mfserve_registry.errors import FailedPrecondition, InvalidArgument
from mfserve_registry.spec import AlsConfig, AutoRating, KerasConfig, NoRanking, NoRating, TrainingSpec
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
        (AlsConfig(factors=3), RATED, AlsConfig(factors=3)),
        (KerasConfig(), RATED, KerasConfig()),
    ],
)
def test_the_rating_engine(asked: Any, ratings: Ratings, taken: Any) -> None:
    spec = TrainingSpec(rating=asked, seed=7)
    assert resolve(spec, ratings) == TrainingSpec(rating=taken, seed=7)


def test_data_with_ratings_get_a_rating_head() -> None:
    assert resolve(TrainingSpec(), RATED).rating.engine not in {"auto", "none"}


@pytest.mark.parametrize("engine", [AlsConfig(), KerasConfig()])
def test_an_engine_that_needs_ratings_is_refused_where_there_are_none(engine: Any) -> None:
    with pytest.raises(FailedPrecondition) as caught:
        resolve(TrainingSpec(rating=engine), CHOSEN)
    assert (caught.value.reason, caught.value.field) == ("RATINGS_MISSING", "spec.rating")
    assert caught.value.message.startswith(
        f"clicks.csv is implicit: it has no ratings for the engine '{engine.engine}' to learn from."
    )


def test_no_head_at_all_is_refused() -> None:
    with pytest.raises(ValidationError, match="there is nothing to train"):
        TrainingSpec(rating=NoRating(), ranking=NoRanking())
    with pytest.raises(InvalidArgument, match="there is nothing to train") as caught:
        resolve(TrainingSpec(ranking=NoRanking()), CHOSEN)
    assert caught.value.field == "spec.ranking"
