"""What tuning a head means: where its progress is shown, and what is made small or large."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mfserve_registry.spec import TrainingSpec
from mfserve_trainer.progress import Stage


@dataclass(frozen=True, slots=True)
class TunedHead:
    """A head's side of a tuning.

    Attributes:
        stage: of its trials.
        metric: what is measured on the validation part, as the metrics of a version name it.
        direction: whether the smallest or the largest value is the best.
    """

    stage: Stage
    metric: str
    direction: Literal["minimize", "maximize"]


HEADS: Mapping[str, TunedHead] = {
    "rating": TunedHead(Stage.TUNING_RATING, "mse", "minimize"),
    "ranking": TunedHead(Stage.TUNING_RANKING, "ndcg_at_10", "maximize"),
}
"""By the name that the head has in a training specification, in the order in which they are tuned."""


def tuned_heads(spec: TrainingSpec) -> list[str]:
    """The heads that the specification asks to tune, of those that it trains."""
    if spec.tuning is None:
        return []
    return [
        head for head in HEADS if spec.tuning.head in {"both", head} and getattr(spec, head).engine != "none"
    ]
