"""What every engine takes and gives back, whatever it trains."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.artifacts import Artifact
from mfserve_registry.errors import FailedPrecondition
from mfserve_registry.snapshot.content import RankingHead, RatingHead

HeadT = TypeVar("HeadT")


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training rows (Keras) or one sweep over users and items (ALS) is finished.

    Attributes:
        number: 1 for the first.
        total: how many there will be at most; early stopping may end before.
        metrics: what was measured on the training rows, such as ``{"loss": 0.81, "mse": 0.74}``; names that
            begin with ``val_`` were measured on the validation part cut from them.
        head: makes the head as it is after this epoch; to be called while the epoch is reported, not later. It raises
            TRAINING_DIVERGED as the fit would. None while there is none yet: ``bayes`` has one from its second kept
            sample on.
    """

    number: int
    total: int
    metrics: Mapping[str, float]
    head: Callable[[], RatingHead | RankingHead] | None = None


ReportEpoch = Callable[[Epoch], None]
"""Called after every epoch, in order, in the thread that trains."""


@dataclass(frozen=True, slots=True)
class Fitted(Generic[HeadT]):
    """A trained head, and the files about its training that a person may want to look at."""

    head: HeadT
    artifacts: tuple[Artifact, ...]


def require_finite(engine: str, *arrays: NDArray[np.float32]) -> None:
    """Refuses parameters that no snapshot could hold.

    Raises:
        FailedPrecondition: TRAINING_DIVERGED, a parameter is not a finite number.
    """
    if not all(np.isfinite(array).all() for array in arrays):
        raise FailedPrecondition(
            f"The {engine} training diverged: its parameters are no longer finite numbers. "
            "A smaller learning rate or more regularization helps.",
            reason="TRAINING_DIVERGED",
            metadata={"engine": engine},
        )
