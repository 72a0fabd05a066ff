"""The data sets, and their random splits: made once, the same for everybody."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from benchmarks.peers.exchange import Task
from mfserve_registry.spec import BuiltinDataset, DatasetSpec, FileDataset, RatingScale
from mfserve_trainer.datasets import load
from mfserve_trainer.ratings import Ratings

TEST_SHARE = 0.2
SCALES = {"movielens-latest-small": RatingScale(minimum=0.5, maximum=5.0)}
"""Of data sets that may be read from GroupLens' folder."""


@dataclass(frozen=True, slots=True)
class Split:
    """What is trained on and asked, and what is true.

    Attributes:
        task: handed to every peer.
        truth: float32 (m,), the ratings of the task's test rows; handed to nobody.
    """

    task: Task
    truth: NDArray[np.float32]


def load_dataset(name: str, folder: Path | None) -> Ratings:
    """A built-in data set, from the trainer's cache or fetched; or ``folder``'s ratings.csv with its columns."""
    source: BuiltinDataset | FileDataset
    scale: RatingScale | None = None
    roots: tuple[Path, ...] = ()
    if folder is None:
        source = BuiltinDataset.model_validate({"name": name})
    else:
        path = (folder / "ratings.csv").resolve()
        source = FileDataset(
            path=str(path), user_column="userId", item_column="movieId", rating_column="rating"
        )
        scale, roots = SCALES[name], (path.parent,)
    return load(DatasetSpec(source=source, scale=scale), data_roots=roots, uploads=Path)


def random_split(ratings: Ratings, seed: int) -> Split:
    """scikit-learn's ``train_test_split`` on the rows in file order."""
    train, test = train_test_split(np.arange(len(ratings)), test_size=TEST_SHARE, random_state=seed)
    training = ratings.take(train)
    test_user, user_ids = _codes(ratings.user_ids[ratings.user_index[test]], training.user_ids)
    test_item, item_ids = _codes(ratings.item_ids[ratings.item_index[test]], training.item_ids)
    task = Task(
        user=training.user_index,
        item=training.item_index,
        rating=training.rating,
        test_user=test_user,
        test_item=test_item,
        user_ids=user_ids,
        item_ids=item_ids,
        lowest=ratings.scale.minimum,
        highest=ratings.scale.maximum,
    )
    return Split(task, ratings.rating[test])


def _codes(ids: Iterable[str], known: Iterable[str]) -> tuple[NDArray[np.int32], NDArray[np.str_]]:
    """The places of ``ids`` in the training rows' ids, those that are new numbered behind them; and all ids."""
    place = {identifier: code for code, identifier in enumerate(known)}
    codes = [place.setdefault(identifier, len(place)) for identifier in ids]
    return np.array(codes, np.int32), np.array(list(place))
