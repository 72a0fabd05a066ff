"""Tunes a training: its specification with the best configuration of each head that was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import Trial

from mfserve_registry.artifacts import Artifact
from mfserve_registry.canonical import json_sha256
from mfserve_registry.errors import FailedPrecondition
from mfserve_registry.spec import TrainingSpec, TuningConfig
from mfserve_trainer.engines import Epoch, Fitted, ReportEpoch, fit_ranking, fit_rating
from mfserve_trainer.progress import ProgressMeter
from mfserve_trainer.ratings import Ratings
from mfserve_trainer.tuning import trials as told
from mfserve_trainer.tuning.heads import HEADS, tuned_heads
from mfserve_trainer.tuning.journal import finished_trials
from mfserve_trainer.tuning.search import Search
from mfserve_trainer.tuning.spaces import parameters_of, space_around, with_parameters
from mfserve_trainer.tuning.validation import Validation

FIRST_LOOK = 4
"""A trial is measured after so many epochs, and again whenever their number has doubled, to be pruned if it is bad."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What came of a tuning.

    Attributes:
        spec: the specification that was given, with the chosen parameters in it.
        facts: by head, JSON values for the manifest.
        artifact: all trials.
    """

    spec: TrainingSpec
    facts: dict[str, Any]
    artifact: Artifact


def tune(
    training: Ratings,
    spec: TrainingSpec,
    tuning: TuningConfig,
    meter: ProgressMeter,
    *,
    studies: Path,
    scratch: Path,
) -> Tuned:
    """Searches each head's parameters on a part of the training rows.

    Args:
        training: the rows to be trained on; held-out rows are not among them, so that nothing is chosen by them.
        spec: how to train; its ``tuning`` says which heads.
        tuning: ``spec.tuning``.
        meter: gets a step for every trial.
        studies: folder of finished trials; those of the same ratings, configuration, seed and release are not run
            again.
        scratch: an empty folder.

    Raises:
        InvalidArgument: DATASET_TOO_SMALL.
        FailedPrecondition: TRAINING_DIVERGED, every trial of a head did.
    """
    # Its news of each trial are in our progress already.
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    heads = tuned_heads(spec)
    validation = Validation(training, spec.split, tuning.validation_fraction, scratch)
    if "ranking" in heads:
        validation.require_relevant()
    chosen: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    tables: dict[str, Any] = {}
    for head in heads:
        chosen[head], facts[head], tables[head] = _tune_head(
            head, getattr(spec, head), validation, spec.seed, tuning, meter, studies
        )
    return Tuned(spec.model_copy(update=chosen), facts, told.artifact(tables))


def _tune_head(
    name: str,
    given: Any,  # the configuration of an engine
    validation: Validation,
    seed: int,
    tuning: TuningConfig,
    meter: ProgressMeter,
    studies: Path,
) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    head = HEADS[name]
    search = Search(
        parameters_of(given), space_around(given), head.direction, seed, tuning.trials, tuning.seconds
    )
    fit = fit_rating if name == "rating" else fit_ranking

    def trial_of(parameters: dict[str, Any], report: ReportEpoch) -> Fitted[Any]:
        return fit(validation.fitted, with_parameters(given, parameters), seed=seed, report=report)

    def report(finished: int, best_value: float | None) -> None:
        metrics = {} if best_value is None else {f"best_validation_{head.metric}": best_value}
        meter.epoch(head.stage, Epoch(finished, tuning.trials, metrics))

    meter.begin(head.stage, tuning.trials)
    with finished_trials(studies / f"{_key(validation, given, search)}.jsonl", head.direction) as finished:
        trials, best = search.run(_objective(validation, trial_of), finished, report)
    if best is None:
        raise FailedPrecondition(
            f"Every trial of the {given.engine} engine diverged ({len(trials)} of them): no configuration can be "
            "chosen. Look at the ratings, or start from more regularization.",
            reason="TRAINING_DIVERGED",
            metadata={"engine": given.engine},
        )
    return (
        with_parameters(given, best.params),
        told.facts(head, seed, trials, best),
        told.table(head, given.engine, trials, best),
    )


def _objective(
    validation: Validation, trial_of: Callable[[dict[str, Any], ReportEpoch], Fitted[Any]]
) -> Callable[[Trial], float]:
    def value(trial: Trial) -> float:
        def look(epoch: Epoch) -> None:
            if epoch.head is None or epoch.number == epoch.total or not _is_time_to_look(epoch.number):
                return
            trial.report(validation.measure(epoch.head()), epoch.number)
            if trial.should_prune():
                raise optuna.TrialPruned

        return validation.measure(trial_of(trial.params, look).head)

    return value


def _is_time_to_look(epoch: int) -> bool:
    """The same epochs in every trial, so that their values can be compared."""
    return epoch >= FIRST_LOOK and (epoch & (epoch - 1)) == 0


def _key(validation: Validation, given: Any, search: Search) -> str:
    """Names what a trial's value depends on; how many trials there are to be is not part of it."""
    scale = validation.fitted.scale.model_dump()
    space = {name: repr(distribution) for name, distribution in search.space.items()}
    parts = [
        [validation.fitted.fingerprint, validation.measured.fingerprint, scale],
        [given.model_dump(), search.seed, search.direction, space],
        [version("mfserve"), optuna.__version__],
    ]
    return json_sha256(parts)
