"""Tunings as jobs of a real trainer: killed in the middle, cancelled, and what is left in the home folder."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

from mfserve_registry import JobState, Registry
from mfserve_registry.spec import AlsConfig, NoRanking, TuningConfig
from mfserve_trainer.progress import Stage
from tests.trainer.samples import QUICK
from tests.trainer.trainers import finished, running_trainer, submit, versions
from tests.waiting import eventually

TRIALS = 4
SPEC = QUICK.model_copy(
    update={
        "rating": AlsConfig(factors=8, iterations=100, regularization=0.2),
        "ranking": NoRanking(),
        "refit": False,
        "tuning": TuningConfig(trials=TRIALS),
    }
)
"""Every trial takes long enough to be killed in."""


def trials_of(registry: Registry, job_id: str, attempt: int) -> list[int]:
    """How many trials were finished, at each step of the attempt's tuning."""
    return [
        step.epoch
        for step in registry.jobs.progress(job_id)
        if step.stage == Stage.TUNING_RATING and step.attempt == attempt and step.epoch
    ]


def test_a_tuning_that_is_killed_goes_on_and_ends_as_if_nothing_had_happened(
    registry: Registry, home: Path, csv: Path
) -> None:
    with running_trainer(home, csv.parent) as trainer:
        job_id = submit(registry, csv, SPEC)
        eventually(lambda: max(trials_of(registry, job_id, 1), default=0) >= 1, "a trial is finished")
        trainer.fit_process().send_signal(signal.SIGKILL)
        job = finished(registry, job_id)
        kept = home / "logs" / "tuning"
        assert len(list(kept.iterdir())) == 1
        shutil.rmtree(kept)
        assert finished(registry, submit(registry, csv, SPEC)).state is JobState.SUCCEEDED
        # Another one, cancelled in the middle: a tuning is ended as any fit is.
        other = submit(registry, csv, SPEC.model_copy(update={"seed": 1}), model="cancelled")
        eventually(lambda: trials_of(registry, other, 1), "a trial is finished")
        registry.jobs.cancel(other)
        assert finished(registry, other).state is JobState.CANCELLED
        trainer.terminate()

    assert (job.state, job.attempt) == (JobState.SUCCEEDED, 2), job.error_message
    before, after = (trials_of(registry, job_id, attempt) for attempt in (1, 2))
    assert before == list(range(1, 1 + len(before)))
    # The second attempt begins behind what the first one has finished; one more may be kept than was still reported.
    assert after[0] in {len(before), len(before) + 1}
    assert after == list(range(after[0], TRIALS + 1))

    resumed, undisturbed = (registry.models.get_version("movies", number) for number in (1, 2))
    assert resumed.digest == undisturbed.digest
    assert resumed.facts["tuning"]["rating"]["trials"] == TRIALS
    assert resumed.facts["spec"]["rating"] != SPEC.rating.model_dump()
    _, data = registry.artifacts.read("movies", 1, "tuning-trials.json")
    assert [trial["number"] for trial in json.loads(data)["rating"]["trials"]] == list(range(TRIALS))
    assert versions(registry, "cancelled") == []
