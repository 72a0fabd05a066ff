"""The search itself: Optuna's TPE sampler proposes, its median pruner ends what does badly.

Every trial's sampler is seeded by the search's seed and the trial's number, and sees the finished trials alone. So a
trial depends on those before it and on nothing else, and a search that goes on after an interruption, or that is asked
for more trials, comes to the same trials as one that never stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import optuna
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.trial import FrozenTrial, Trial, TrialState

from mfserve_registry.errors import FailedPrecondition
from mfserve_trainer.tuning.spaces import Distribution

RANDOM_TRIALS = 8
"""So many trials, the given configuration among them, explore the space before TPE (Bergstra et al. 2011) learns."""
UNPRUNED_TRIALS = 4
"""So many trials are completed before one is compared with their median."""

Report = Callable[[int, float | None], None]
"""Called with how many trials are finished and the best value so far (None where none was completed)."""


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched.

    Attributes:
        given: parameters of the first trial.
        space: ranges of the parameters, which hold the given ones.
        direction: of the objective.
        seed: 0 to 2³² − 1.
        trials: how many, 1 or more.
        seconds: no trial begins once the trials have taken so long; None: no limit.
    """

    given: Mapping[str, Any]
    space: Mapping[str, Distribution]
    direction: Literal["minimize", "maximize"]
    seed: int
    trials: int
    seconds: float | None

    def run(
        self, objective: Callable[[Trial], float], finished: optuna.Study, report: Report
    ) -> tuple[list[FrozenTrial], FrozenTrial | None]:
        """All trials, and the best of those that were completed (None: none was).

        Args:
            objective: the value of a trial, finite. It may report intermediate values, finite ones too, and raise
                ``TrialPruned`` where the trial should be pruned. TRAINING_DIVERGED makes it a failed one.
            finished: the trials of before; those that are run now are added to it.
            report: called after every trial.
        """
        study = optuna.create_study(
            direction=self.direction, pruner=MedianPruner(n_startup_trials=UNPRUNED_TRIALS)
        )
        for trial in finished.trials[: self.trials]:
            if self._is_over(study):
                break
            study.add_trial(trial)
        if study.trials:
            report(len(study.trials), _best_value(study))
        while not self._is_over(study):
            self._run_next(study, objective)
            finished.add_trial(study.trials[-1])
            report(len(study.trials), _best_value(study))
        return study.trials, _best(study)

    def _is_over(self, study: optuna.Study) -> bool:
        taken = sum(seconds_of(trial) for trial in study.trials)
        return len(study.trials) >= self.trials or (self.seconds is not None and taken >= self.seconds)

    def _run_next(self, study: optuna.Study, objective: Callable[[Trial], float]) -> None:
        number = len(study.trials)
        seed = int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
        study.sampler = TPESampler(n_startup_trials=RANDOM_TRIALS, seed=seed)
        if number == 0:
            study.enqueue_trial(dict(self.given))
        trial = study.ask(dict(self.space))
        try:
            value = objective(trial)
        except optuna.TrialPruned:
            study.tell(trial, state=TrialState.PRUNED)
        except FailedPrecondition as error:
            if error.reason != "TRAINING_DIVERGED":
                raise
            study.tell(trial, state=TrialState.FAIL)
        else:
            study.tell(trial, value)


def seconds_of(trial: FrozenTrial) -> float:
    """How long a finished trial took."""
    return 0.0 if trial.duration is None else trial.duration.total_seconds()


def _best(study: optuna.Study) -> FrozenTrial | None:
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return study.best_trial if complete else None


def _best_value(study: optuna.Study) -> float | None:
    best = _best(study)
    return None if best is None else best.value
