"""What passes between the benchmark and the process of a peer: two files of plain arrays.

So no environment needs what another has: a peer's has numpy and the peer's own packages, and not mfserve.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DEPTH = 20
"""How many items a ranking has."""
NOBODY = -1
"""Fills a ranking of fewer items."""


@dataclass(frozen=True, slots=True)
class Task:
    """Ratings to train on, and pairs to predict.

    Attributes:
        user, item: int32 (n,), codes of the training rows, from 0; every code up to the highest occurs.
        rating: float32 (n,).
        test_user, test_item: int32 (m,), codes of the test rows. A code of ``users`` (``items``) or above stands for
            a user (an item) whom no training row has.
        user_ids, item_ids: str, by code, those of the test rows alone included.
        lowest, highest: ends of the rating scale.
    """

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    rating: NDArray[np.float32]
    test_user: NDArray[np.int32]
    test_item: NDArray[np.int32]
    user_ids: NDArray[np.str_]
    item_ids: NDArray[np.str_]
    lowest: float
    highest: float

    @property
    def users(self) -> int:
        """How many users the training rows have."""
        return int(self.user.max()) + 1

    @property
    def items(self) -> int:
        """How many items the training rows have."""
        return int(self.item.max()) + 1

    def clipped(self, predicted: NDArray[Any]) -> NDArray[np.float32]:
        """Predictions clipped to the scale, as float32."""
        return predicted.clip(self.lowest, self.highest).astype(np.float32)

    def save(self, file: Path) -> None:
        _save(file, {name: getattr(self, name) for name in self.__slots__})

    @classmethod
    def load(cls, file: Path) -> Task:
        return cls(**_load(file))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a peer made of a task: predictions, rankings or both.

    Seconds are those of the first fit in the process, nothing warmed up: from the training rows, in the form that the
    peer's package takes, to the trained model. Imports are left out.

    Attributes:
        predicted: float32 (m,), clipped to the scale.
        deviation: float32 (m,), the standard deviation that goes with each prediction; NaN where there is none.
        rating_seconds: what training for the predictions took.
        top: int32 (users, ``DEPTH``), each training user's items, best first, those that the user rated in training
            left out, filled with ``NOBODY``.
        ranking_seconds: what training for the rankings took.
    """

    predicted: NDArray[np.float32] | None = None
    deviation: NDArray[np.float32] | None = None
    rating_seconds: float | None = None
    top: NDArray[np.int32] | None = None
    ranking_seconds: float | None = None

    def save(self, file: Path) -> None:
        values = {name: getattr(self, name) for name in self.__slots__}
        _save(file, {name: value for name, value in values.items() if value is not None})

    @classmethod
    def load(cls, file: Path) -> Answer:
        return cls(**_load(file))


def _save(file: Path, values: dict[str, Any]) -> None:
    np.savez(file, allow_pickle=False, **{name: np.asarray(value) for name, value in values.items()})


def _load(file: Path) -> dict[str, Any]:
    """The arrays by name; one without dimensions as a number."""
    with np.load(file, allow_pickle=False) as arrays:
        return {name: array if array.ndim else float(array) for name, array in arrays.items()}


def answer(perform: Callable[[Task, str], Answer]) -> None:
    """The whole program of a peer: ``python -m MODULE TASK ANSWER SETTING``."""
    task, into, setting = sys.argv[1:]
    perform(Task.load(Path(task)), setting).save(Path(into))
