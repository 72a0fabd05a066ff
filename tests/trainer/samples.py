"""Small ratings, trainings of them, and snapshots made of random numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mfserve_registry.snapshot.content import Floats, RankingHead, RatingHead
from mfserve_registry.spec import (
    AlsConfig,
    DatasetSpec,
    FileDataset,
    IalsConfig,
    KerasConfig,
    RandomSplit,
    TrainingSpec,
)
from mfserve_trainer.messages import FitTask
from mfserve_trainer.ratings import Ratings

QUICK = TrainingSpec(
    rating=AlsConfig(factors=4, iterations=6, regularization=0.05),
    ranking=IalsConfig(factors=4, iterations=4),
    split=RandomSplit(fraction=0.2, seed=7),
)

ENDLESS = TrainingSpec(rating=AlsConfig(factors=512, iterations=500))
"""A minute or more: for those who do not wait for its end."""

SECONDS_LONG = QUICK.model_copy(
    update={"rating": KerasConfig(factors=8, epochs=30, batch_size=16), "refit": False}
)
"""A few seconds: long enough to be interrupted in mid-fit, short enough to wait for its end."""


def dataset(path: Path) -> DatasetSpec:
    return DatasetSpec(source=FileDataset(path=str(path), title_column="title"))


def write_csv(ratings: Ratings, path: Path) -> Path:
    """The ratings as a file, with a title for every item."""
    rows = [
        f"{ratings.user_ids[user]},{ratings.item_ids[item]},{rating},Film {ratings.item_ids[item]}"
        for user, item, rating in zip(ratings.user_index, ratings.item_index, ratings.rating, strict=True)
    ]
    path.write_text("\n".join(["user_id,item_id,rating,title", *rows, ""]))
    return path


def fit_task(folder: Path, csv: Path, spec: TrainingSpec, **changes: Any) -> FitTask:
    """A task of its own below ``folder``."""
    for name in ("staged", "scratch"):
        (folder / name).mkdir(parents=True)
    task = FitTask(
        model="movies",
        job_id="job-1",
        dataset=dataset(csv),
        spec=spec,
        data_roots=(csv.parent,),
        upload=None,
        cache=folder / "cache",
        staged=folder / "staged",
        scratch=folder / "scratch",
        log_dir=folder / "logs",
        studies=folder / "studies",
    )
    return task.model_copy(update=changes)


def random_heads(seed: int, users: int, items: int, factors: int = 3) -> tuple[RatingHead, RankingHead]:
    """Heads with predictions of 1 to 5 and beyond, no two of them alike."""
    random = np.random.default_rng(seed)

    def normal(*shape: int) -> Floats:
        return random.normal(size=shape).astype(np.float32)

    rating = RatingHead(
        intercept=3.5,
        user_biases=normal(users),
        item_biases=normal(items),
        user_factors=normal(users, factors),
        item_factors=normal(items, factors),
        regularization=0.1,
        folds_bias=True,
    )
    ranking = RankingHead(
        user_factors=normal(users, factors),
        item_factors=normal(items, factors),
        regularization=0.01,
        unobserved_weight=0.3,
        frequency_exponent=1.0,
        targets=(0.0, 0.1, 0.3, 0.6, 1.0),
    )
    return rating, ranking
