"""``mfserve tune``: search the engines' parameters, then train with the best."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from mfserve import Client, Tuning
from mfserve.cli import _options as options
from mfserve.cli._models import show_version
from mfserve.cli._output import as_json, line, plain, table
from mfserve.cli._sharing import taking
from mfserve.cli._training import followed, queued, training_arguments
from mfserve.types import ModelVersion

_METRICS = {"mse": "MSE", "ndcg_at_10": "nDCG@10"}
_PANEL = "Tuning"


@taking(training_arguments)
def tune(
    *,
    trials: Annotated[
        int | None,
        typer.Option(help="Configurations tried for each head.", show_default="20", rich_help_panel=_PANEL),
    ] = None,
    seconds: Annotated[
        float | None,
        typer.Option(
            help="Begin no trial of a head after so many seconds.",
            show_default="no limit",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    head: Annotated[
        options.HeadName | None,
        typer.Option(help="The only head to tune.", show_default="both", rich_help_panel=_PANEL),
    ] = None,
    validation_share: Annotated[
        float | None,
        typer.Option(
            help="Share of the training ratings on which trials are compared.",
            show_default="0.2",
            rich_help_panel=_PANEL,
        ),
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Queue it, and print the job's id.")] = False,
    address: options.Address = options.DEFAULT_ADDRESS,
    timeout: options.Timeout = options.DEFAULT_TIMEOUT,
    json: options.Json = False,
    **arguments: Any,
) -> None:
    """Search the parameters that matter, then train a new version of a model with the best.

    The search starts from the parameters that are given, or from the defaults, and is judged on ratings that are set
    aside from the training ratings, never on the held-out ones. It is followed to its end, and its trials are printed
    before the version. Asked for once more, also after an interruption, it does not repeat the trials that it has
    finished.
    """
    tuning = Tuning(
        trials=trials,
        seconds=seconds,
        validation_fraction=validation_share,
        head=None if head is None else head.value,
    )
    with options.connect(address, timeout) as client:
        job = client.train(**arguments, tuning=tuning)
        if no_wait:
            queued(job, json=json)
            return
        version = followed(job, json=json)
        tables = _trials(client, version)
    if json:
        as_json(tables)
        as_json(version)
        return
    for name, found in tables.items():
        _show(name, found)
    show_version(version)


def _trials(client: Client, version: ModelVersion) -> dict[str, Any]:
    stored = client.get_artifact(version.model, "tuning-trials.json", version=version.version)
    tables: dict[str, Any] = json_format.loads(stored.data)
    return tables


def _show(head: str, found: Mapping[str, Any]) -> None:
    metric = _METRICS.get(found["metric"], found["metric"])
    trials = found["trials"]
    names = list(trials[0]["parameters"])
    best = trials[found["best_trial"]]
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
            for trial in trials
        ),
    )
    chosen = ", ".join(
        f"{name.replace('_', ' ')} {_number(value)}" for name, value in best["parameters"].items()
    )
    given = trials[0]["value"]
    before = "" if given is None else f"; trial 0, as given, has {given:.4f}"
    line(f"chosen: {plain(chosen)}, with a validation {metric} of {best['value']:.4f}{before}")


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
