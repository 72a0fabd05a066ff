"""What is told of a head's trials: briefly in the manifest, in full in a file that is kept with the version."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from optuna.trial import FrozenTrial

from mfserve_registry.artifacts import Artifact
from mfserve_trainer.tuning.heads import TunedHead
from mfserve_trainer.tuning.search import seconds_of

NAME = "tuning-trials.json"


def facts(head: TunedHead, seed: int, trials: Sequence[FrozenTrial], best: FrozenTrial) -> dict[str, Any]:
    """JSON values for the manifest: no time and no duration, so that the same tuning gives the same digest."""
    states = Counter(trial.state.name for trial in trials)
    return {
        "metric": head.metric,
        "seed": seed,
        "trials": len(trials),
        "pruned": states["PRUNED"],
        "failed": states["FAIL"],
        "given_value": trials[0].value,
        "best_value": best.value,
        "best_trial": best.number,
    }


def table(head: TunedHead, engine: str, trials: Sequence[FrozenTrial], best: FrozenTrial) -> dict[str, Any]:
    """JSON values for the file: the trials in order, the first of number 0."""
    return {
        "engine": engine,
        "metric": head.metric,
        "direction": head.direction,
        "best_trial": best.number,
        "trials": [
            {
                "number": trial.number,
                "state": "FAILED" if trial.state.name == "FAIL" else trial.state.name,
                "parameters": trial.params,
                "value": trial.value,
                "values_by_epoch": {str(epoch): value for epoch, value in trial.intermediate_values.items()},
                "seconds": seconds_of(trial),
            }
            for trial in trials
        ],
    }


def artifact(tables: Mapping[str, Any]) -> Artifact:
    """The tables of the heads that were tuned, by the heads' names."""
    return Artifact(NAME, "application/json", (json.dumps(tables, allow_nan=False, indent=1) + "\n").encode())
