"""The trials of a tuning."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping
from typing import Any

from mfserve import Client
from mfserve.cli._output import CommandError, line, plain, table
from mfserve.types import ModelVersion

_METRICS = {"mse": "MSE", "ndcg_at_10": "nDCG@10"}


def trials(client: Client, version: ModelVersion) -> dict[str, Any]:
    """Of a version that was tuned, by head."""
    name = "tuning-trials.json"
    stored = client.get_artifact(version.model, name, version=version.version)
    try:
        tables: dict[str, Any] = json_format.loads(stored.data)
    except ValueError as error:
        raise CommandError(
            f"{name} of {version.model} version {version.version} is no JSON: {error}"
        ) from error
    return tables


def show_trials(head: str, found: Mapping[str, Any]) -> None:
    """Prints them, and what was chosen."""
    metric = _METRICS.get(found["metric"], found["metric"])
    rows = found["trials"]
    names = list(rows[0]["parameters"])
    best = rows[found["best_trial"]]
    table(
        f"Trials of the {head} head ({found['engine']})",
        (
            "trial#",
            *(f"{name.replace('_', ' ')}#" for name in names),
            f"validation {metric}#",
            "state",
            "seconds#",
        ),
        (
            (
                trial["number"],
                *(trial["parameters"][name] for name in names),
                trial["value"],
                "best" if trial is best else trial["state"].lower(),
                f"{trial['seconds']:.1f}",
            )
            for trial in rows
        ),
    )
    chosen = ", ".join(
        f"{name.replace('_', ' ')} {_number(value)}" for name, value in best["parameters"].items()
    )
    given = rows[0]["value"]
    before = "" if given is None else f"; trial 0, as given, has {given:.4f}"
    line(f"chosen: {plain(chosen)}, with a validation {metric} of {best['value']:.4f}{before}")


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
