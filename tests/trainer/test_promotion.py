"""Real trainings, from their claim to the alias: what the gates let through, and what they stop."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from mfserve_registry import Job, JobRequest, Registry, Version
from mfserve_registry.aliases import AliasTarget
from mfserve_registry.contact import Contact
from mfserve_registry.gates import Gate, GateOutcome, PromotionGates
from mfserve_registry.spec import AlsConfig, IalsConfig, KeyedHashSplit, NoSplit, TrainingSpec
from mfserve_trainer.attempt import Attempt
from mfserve_trainer.fitter import Fitter
from mfserve_trainer.holdout_rows import FILE_NAME
from mfserve_trainer.messages import Done, File, FitTask
from mfserve_trainer.settings import Settings
from mfserve_trainer.training import train
from tests.trainer.samples import QUICK, dataset

pytestmark = pytest.mark.usefixtures("undrawn")

GOOD = QUICK.model_copy(update={"split": KeyedHashSplit()})
BAD = GOOD.model_copy(update={"rating": AlsConfig(factors=1, iterations=1, regularization=1000)})
"""Its rating head knows next to nothing but means."""
FOR_RATINGS = {Gate.RATING_ERROR, Gate.RANKING_QUALITY}

_numbers = itertools.count()
Train = Callable[..., tuple[Version, Job]]


class InProcess(Fitter):
    """Fits here: a process of its own would load TensorFlow once more."""

    before_the_end: Callable[[], object] = staticmethod(lambda: None)

    async def perform(self, task: FitTask) -> AsyncGenerator[Done, None]:
        done = train(task, lambda _: None)
        self.before_the_end()
        yield Done(digest=done.digest, facts=done.facts, files=[File.of(file) for file in done.artifacts])


@pytest.fixture
def fitter(home: Path, csv: Path) -> InProcess:
    return InProcess(Settings(home=home, data_roots=(csv.parent,)))


@pytest.fixture
def run(registry: Registry, home: Path, csv: Path, fitter: InProcess) -> Train:
    def trained(
        spec: TrainingSpec = GOOD,
        alias: str | None = "production",
        gates: PromotionGates | None = None,
        data: Path = csv,
    ) -> tuple[Version, Job]:
        request = JobRequest(
            "movies", dataset(data), spec, alias, f"request-{next(_numbers)}", gates or PromotionGates()
        )
        job_id = registry.jobs.submit(request)[0].job_id
        claim = registry.jobs.claim("trainer", timedelta(minutes=5))
        assert claim is not None
        settings = Settings(home=home, data_roots=(data.parent,))
        asyncio.run(Attempt(claim, settings, registry, fitter, Contact()).run(asyncio.Event()))
        job = registry.jobs.get(job_id)
        assert job.version is not None, job.error_message
        return registry.models.get_version("movies", job.version), job

    return trained


def outcomes(version: Version) -> dict[str, GateOutcome]:
    assert version.gates is not None
    return {result.gate: result.outcome for result in version.gates.results}


def production(registry: Registry) -> int:
    return registry.aliases.get("movies", "production").targets[0].version


def test_gates_let_the_same_training_through_and_stop_a_worse_one(registry: Registry, run: Train) -> None:
    first, job = run()
    assert set(outcomes(first).values()) == {GateOutcome.SKIPPED}
    assert first.gates is not None
    assert first.gates.incumbent is None
    assert job.promotion is not None
    assert job.promotion.promoted

    again, job = run()
    assert set(outcomes(again).values()) == {GateOutcome.PASSED}
    assert again.gates is not None
    assert (again.gates.incumbent, again.gates.revision) == (1, 1)
    for result in again.gates.results:
        assert result.value == (1 if result.gate == Gate.OVERLAP else result.incumbent_value)
    assert job.promotion is not None
    assert job.promotion.promoted
    assert production(registry) == 2

    worse, job = run(BAD)
    assert outcomes(worse)["RATING_ERROR"] is GateOutcome.FAILED
    assert outcomes(worse)["RANKING_QUALITY"] is GateOutcome.PASSED
    assert worse.aliases == ()
    assert job.promotion is not None
    assert not job.promotion.promoted
    assert "RATING_ERROR failed: RMSE" in job.promotion.reason
    assert production(registry) == 2

    forced, job = run(BAD, gates=PromotionGates(off=True))
    assert forced.gates is None
    assert job.promotion is not None
    assert job.promotion.promoted
    assert production(registry) == 4


def test_the_rows_that_both_held_out_are_compared_and_no_others(run: Train) -> None:
    first, _ = run()
    half = GOOD.model_copy(update={"split": KeyedHashSplit(fraction=0.1), "seed": 1})
    second, _ = run(half, gates=PromotionGates(max_rmse_increase=10))
    assert second.gates is not None
    error = next(result for result in second.gates.results if result.gate == Gate.RATING_ERROR)
    rows = second.metrics["holdout_ratings"]
    assert rows < first.metrics["holdout_ratings"]
    # The larger fraction holds out all that the smaller does.
    assert f"the {rows:,} ratings that both versions held out" in error.message
    assert error.value == pytest.approx(second.metrics["rating"][0]["rmse"])
    assert error.incumbent_value != pytest.approx(first.metrics["rating"][0]["rmse"])


def test_without_a_holdout_there_is_no_comparison_of_errors_and_the_alias_moves(
    registry: Registry, run: Train
) -> None:
    run()
    version, job = run(GOOD.model_copy(update={"split": NoSplit()}))
    skipped = {gate for gate, outcome in outcomes(version).items() if outcome is GateOutcome.SKIPPED}
    assert skipped == FOR_RATINGS
    assert job.promotion is not None
    assert job.promotion.promoted
    assert production(registry) == 2


def test_fewer_users_and_items_are_stopped(registry: Registry, run: Train, csv: Path, tmp_path: Path) -> None:
    run()
    lines = csv.read_text().splitlines()
    few = tmp_path / "few.csv"
    few.write_text("\n".join([lines[0], *(line for line in lines[1:] if line < "u0040"), ""]))
    version, _ = run(data=few)
    assert outcomes(version)["USERS"] is GateOutcome.FAILED
    assert production(registry) == 1


def test_a_version_is_compared_with_the_heaviest_target_of_the_alias_that_it_is_to_get(
    registry: Registry, run: Train
) -> None:
    run()
    run(BAD, alias="candidate")
    targets = [AliasTarget(1, 10), AliasTarget(2, 90)]
    registry.aliases.set("movies", "candidate", targets=targets, expected_revision=1)
    beside_bad, _ = run(alias="candidate")
    assert beside_bad.gates is not None
    assert (beside_bad.gates.alias, beside_bad.gates.incumbent) == ("candidate", 2)
    assert production(registry) == 1
    # A version that is to get none is compared with production, as it may be promoted later.
    unasked, job = run(BAD, alias=None)
    assert unasked.gates is not None
    assert (unasked.gates.alias, unasked.gates.incumbent) == ("production", 1)
    assert outcomes(unasked)["RATING_ERROR"] is GateOutcome.FAILED
    assert job.promotion is None


def test_what_counts_is_what_the_alias_names_when_the_fit_has_ended(
    registry: Registry, run: Train, fitter: InProcess
) -> None:
    run()
    run(alias=None)
    fitter.before_the_end = lambda: registry.aliases.set("movies", "production", 2, expected_revision=1)
    version, job = run()
    assert version.gates is not None
    assert version.gates.incumbent == 2
    assert job.promotion is not None
    assert job.promotion.promoted


def test_an_incumbent_that_cannot_be_read_is_said_and_keeps_nothing_back(
    registry: Registry, run: Train, home: Path
) -> None:
    first, _ = run()
    rows = next(artifact for artifact in first.artifacts if artifact.name == FILE_NAME)
    (home / "artifacts" / rows.sha256[:2] / rows.sha256).write_bytes(b"damaged")
    version, job = run(GOOD.model_copy(update={"ranking": IalsConfig(factors=5, iterations=4)}))
    assert set(outcomes(version).values()) == {GateOutcome.SKIPPED}
    assert version.gates is not None
    assert version.gates.results[0].message.startswith("Version 1, which production names, cannot be read")
    assert job.promotion is not None
    assert job.promotion.promoted
