"""Tuning with the real engines on small ratings: what is chosen, by which rows, and what is told of it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from mfserve_registry.errors import FailedPrecondition, InvalidArgument
from mfserve_registry.jobs import Progress
from mfserve_registry.snapshot import Snapshot, write_snapshot
from mfserve_registry.spec import (
    AlsConfig,
    IalsConfig,
    KerasConfig,
    KeyedHashSplit,
    NoRanking,
    NoSplit,
    RandomSplit,
    TrainingSpec,
    TuningConfig,
)
from mfserve_trainer.assemble import assemble
from mfserve_trainer.engines import fit_ranking, fit_rating
from mfserve_trainer.evaluation import evaluate
from mfserve_trainer.progress import ProgressMeter, Stage
from mfserve_trainer.ratings import Ratings
from mfserve_trainer.splits import split
from mfserve_trainer.training import Trained, train
from mfserve_trainer.tuning.spaces import SPACES, space_around
from mfserve_trainer.tuning.tune import Tuned, tune
from mfserve_trainer.tuning.validation import Validation
from tests.trainer.engines.contract import ignore
from tests.trainer.engines.synthetic import low_rank, table, two_camps
from tests.trainer.samples import QUICK, fit_task, write_csv

pytestmark = pytest.mark.usefixtures("undrawn")

TUNING = TuningConfig(trials=6)
SPEC = QUICK.model_copy(
    update={
        "rating": AlsConfig(factors=1, iterations=6, regularization=0.5),
        "ranking": IalsConfig(factors=3, iterations=6, regularization=0.1),
        "tuning": TUNING,
        "refit": False,
    }
)


def tuned(ratings: Ratings, spec: TrainingSpec, folder: Path, report: Callable[[Progress], None]) -> Tuned:
    assert spec.tuning is not None
    meter = ProgressMeter(report)
    return tune(ratings, spec, spec.tuning, meter, studies=folder / "studies", scratch=folder / "scratch")


def trials_of(artifact: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(artifact.data)
    return found


def told(artifact: Any) -> dict[str, Any]:
    """The trials without their durations."""
    tables = trials_of(artifact)
    for head in tables.values():
        for trial in head["trials"]:
            del trial["seconds"]
    return tables


def trained(folder: Path, csv: Path, spec: TrainingSpec, **changes: Any) -> Trained:
    return train(fit_task(folder, csv, spec, **changes), lambda step: None)


def trials_artifact(done: Trained) -> Any:
    return next(artifact for artifact in done.artifacts if artifact.name == "tuning-trials.json")


def test_the_best_configurations_are_fitted_and_everything_is_told(tmp_path: Path, csv: Path) -> None:
    steps: list[Progress] = []
    task = fit_task(tmp_path, csv, SPEC)
    done = train(task, steps.append)
    snapshot = Snapshot.open(task.staged, done.digest)
    tables = trials_of(trials_artifact(done))
    facts = done.facts["tuning"]
    assert json.loads(json.dumps(done.facts)) == snapshot.manifest.facts
    assert set(tables) == set(facts) == {"rating", "ranking"}

    for head, better in (("rating", min), ("ranking", max)):
        trials = tables[head]["trials"]
        complete = [trial for trial in trials if trial["state"] == "COMPLETE"]
        best = trials[facts[head]["best_trial"]]
        assert [trial["number"] for trial in trials] == list(range(6))
        assert all(trial["seconds"] > 0 for trial in trials)
        assert best["value"] == better(trial["value"] for trial in complete) == facts[head]["best_value"]
        given = getattr(SPEC, head).model_dump(mode="json")
        assert trials[0]["parameters"] == {name: given[name] for name in trials[0]["parameters"]}
        assert facts[head]["given_value"] == trials[0]["value"]
        # Both start from parameters that are far too stiff.
        assert best["value"] != trials[0]["value"]
        assert done.facts["spec"][head] == {**given, **best["parameters"]}
        assert (facts[head]["seed"], facts[head]["trials"]) == (SPEC.seed, 6)
    assert snapshot.rating is not None
    assert snapshot.rating.user_factors.shape[1] == done.facts["spec"]["rating"]["factors"]
    assert snapshot.rating.regularization == done.facts["spec"]["rating"]["regularization"]
    assert done.facts["spec"]["tuning"] == TUNING.model_dump(mode="json")

    found = [(step.stage, step.epoch, step.epochs) for step in steps]
    assert found[:15] == [
        (Stage.LOADING, 0, 0),
        *((Stage.TUNING_RATING, trial, 6) for trial in range(7)),
        *((Stage.TUNING_RANKING, trial, 6) for trial in range(7)),
    ]
    assert found[15][0] == Stage.RATING_FIT
    assert steps[7].metrics == {"best_validation_mse": facts["rating"]["best_value"]}
    assert steps[14].metrics == {"best_validation_ndcg_at_10": facts["ranking"]["best_value"]}
    assert all(step.remaining_seconds is not None for step in steps[2:])


def test_the_same_again_runs_no_trial_and_gives_the_same_digest(tmp_path: Path, csv: Path) -> None:
    first = trained(tmp_path / "first", csv, SPEC)
    again = trained(tmp_path / "again", csv, SPEC, studies=tmp_path / "first" / "studies")
    elsewhere = trained(tmp_path / "elsewhere", csv, SPEC)
    assert first.digest == again.digest == elsewhere.digest
    # The durations are those of the trials that were run: the first time, and nowhere else.
    assert trials_artifact(again).data == trials_artifact(first).data
    assert trials_artifact(elsewhere).data != trials_artifact(first).data
    assert told(trials_artifact(elsewhere)) == told(trials_artifact(first))


@pytest.mark.parametrize("how", [RandomSplit(fraction=0.3, seed=3), KeyedHashSplit(fraction=0.3)])
def test_held_out_ratings_decide_nothing(tmp_path: Path, how: RandomSplit | KeyedHashSplit) -> None:
    """With other ratings in the holdout, the trials are the same to the last bit; with others elsewhere, not."""
    ratings = low_rank()[0]
    rows = split(ratings, how)
    spec = SPEC.model_copy(update={"split": how, "tuning": TuningConfig(trials=2)})
    found = []
    for name, changed in (("none", []), ("holdout", rows.holdout_rows), ("training", rows.train_rows[:20])):
        rating = ratings.rating.copy()
        rating[changed] = 6.0 - rating[changed]
        cells = zip(ratings.user_index.tolist(), ratings.item_index.tolist(), rating.tolist(), strict=True)
        csv = write_csv(table(list(cells)), tmp_path / f"{name}.csv")
        done = trained(tmp_path / name, csv, spec)
        found.append((told(trials_artifact(done)), done.facts["spec"], done.facts["metrics"]))
    assert found[0][:2] == found[1][:2]
    assert found[0][2] != found[1][2]
    assert found[0][0] != found[2][0]


@pytest.mark.parametrize("how", [RandomSplit(), KeyedHashSplit(), NoSplit()], ids=lambda how: how.kind)
def test_validation_part(tmp_path: Path, how: RandomSplit | KeyedHashSplit | NoSplit) -> None:
    """It is a share of the rows, and the rows fitted on are all others."""
    training = low_rank()[0].take(split(low_rank()[0], how).train_rows)
    parts = Validation(training, how, 0.25, tmp_path)
    assert len(parts.measured) == pytest.approx(0.25 * len(training), rel=0.15)
    assert len(parts.fitted) + len(parts.measured) == len(training)
    pairs = [
        {
            (part.user_ids[u], part.item_ids[i], r)
            for u, i, r in zip(part.user_index, part.item_index, part.rating, strict=True)
        }
        for part in (parts.fitted, parts.measured, training)
    ]
    assert pairs[0] | pairs[1] == pairs[2]


def test_heads_are_measured_as_a_version_is(tmp_path: Path) -> None:
    """By the very numbers that ``evaluate`` gives for a snapshot that holds them."""
    parts = Validation(two_camps()[0], NoSplit(), 0.3, tmp_path / "validation")
    rating = fit_rating(parts.fitted, AlsConfig(factors=3), seed=1, report=ignore).head
    ranking = fit_ranking(parts.fitted, IalsConfig(factors=3), seed=1, report=ignore).head
    digest = write_snapshot(tmp_path / "whole", assemble(parts.fitted, rating, ranking, facts={}))
    expected = evaluate(Snapshot.open(tmp_path / "whole", digest), parts.measured).metrics
    assert parts.measure(rating) == expected["rating"][0]["mse"]
    assert parts.measure(ranking) == expected["ranking"][0]["ndcg_at_10"]


def test_a_head_of_finite_parameters_has_a_finite_value(tmp_path: Path) -> None:
    """However large they are: Optuna's pruner and the trials' JSON have no use for anything else."""
    parts = Validation(low_rank()[0], NoSplit(), 0.3, tmp_path)
    head = fit_rating(parts.fitted, AlsConfig(factors=2, iterations=1), seed=1, report=ignore).head
    huge = np.full_like(head.user_factors, 3e38) * np.array([1, -1], np.float32)
    head = replace(head, user_factors=huge, item_factors=np.abs(huge[: len(head.item_factors)]))
    assert 0 <= parts.measure(head) <= 16


def test_without_a_split_the_validation_part_is_cut_from_all_ratings(tmp_path: Path, csv: Path) -> None:
    spec = SPEC.model_copy(
        update={
            "split": NoSplit(),
            "ranking": NoRanking(),
            "tuning": TuningConfig(trials=3, validation_fraction=0.3),
        }
    )
    done = trained(tmp_path, csv, spec)
    assert done.facts["metrics"] is None
    assert set(done.facts["tuning"]) == {"rating"}
    assert done.facts["tuning"]["rating"]["trials"] == 3


@pytest.mark.parametrize("head", ["rating", "ranking"])
def test_one_head_alone(tmp_path: Path, head: str) -> None:
    spec = SPEC.model_copy(update={"tuning": TuningConfig.model_validate({"trials": 2, "head": head})})
    steps: list[Progress] = []
    found = tuned(low_rank()[0], spec, tmp_path, steps.append)
    assert set(found.facts) == {head}
    assert {step.stage for step in steps} == {f"TUNING_{head.upper()}"}
    other = "ranking" if head == "rating" else "rating"
    assert getattr(found.spec, other) == getattr(SPEC, other)


# Keras reads its own learning rate in a way that NumPy 2 warns about.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_keras_is_tuned(tmp_path: Path) -> None:
    spec = SPEC.model_copy(
        update={
            "rating": KerasConfig(factors=4, epochs=5, batch_size=256, biases=True, learning_rate=0.03),
            "ranking": NoRanking(),
            "tuning": TuningConfig(trials=2),
        }
    )
    found = tuned(low_rank()[0], spec, tmp_path, lambda step: None)
    assert isinstance(found.spec.rating, KerasConfig)
    assert found.spec.rating.biases
    assert found.spec.rating.batch_size == 256
    (rating,) = trials_of(found.artifact).values()
    assert set(rating["trials"][0]["parameters"]) == {"factors", "epochs", "learning_rate", "l2"}
    assert set(rating["trials"][0]["values_by_epoch"]) == {"4"}


def test_bad_trials_end_early(tmp_path: Path) -> None:
    """Of trials that do badly, only the first epochs are measured."""
    spec = SPEC.model_copy(
        update={"rating": AlsConfig(factors=2, iterations=16, regularization=0.1), "ranking": NoRanking()}
    ).model_copy(update={"tuning": TuningConfig(trials=12)})
    (rating,) = trials_of(tuned(low_rank()[0], spec, tmp_path, lambda step: None).artifact).values()
    epochs = {"COMPLETE": set(), "PRUNED": set()}  # type: dict[str, set[tuple[str, ...]]]
    for trial in rating["trials"]:
        epochs[trial["state"]].add(tuple(trial["values_by_epoch"]))
    assert epochs["COMPLETE"] == {("4", "8")}
    assert ("4",) in epochs["PRUNED"]


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_where_every_trial_diverges_the_training_fails(tmp_path: Path) -> None:
    rows = [f"u{u},i{i},{(-1) ** (u + i)}e38,T" for u in range(12) for i in range(12)]
    csv = tmp_path / "huge.csv"
    csv.write_text("\n".join(["user_id,item_id,rating,title", *rows, ""]))
    spec = SPEC.model_copy(
        update={"rating": KerasConfig(factors=2, epochs=1), "tuning": TuningConfig(trials=2, head="rating")}
    )
    with pytest.raises(FailedPrecondition, match="Every trial of the keras engine diverged") as refused:
        trained(tmp_path / "fit", csv, spec)
    assert refused.value.reason == "TRAINING_DIVERGED"


@pytest.mark.parametrize("how", [NoSplit(), RandomSplit(fraction=0.5)], ids=lambda how: how.kind)
def test_too_few_ratings_to_set_any_aside(tmp_path: Path, how: NoSplit | RandomSplit) -> None:
    csv = tmp_path / "tiny.csv"
    csv.write_text("user_id,item_id,rating,title\nu,i,4,T\n" + ("u,j,3,T\n" if how.kind == "random" else ""))
    scaled = fit_task(tmp_path / "fit", csv, SPEC.model_copy(update={"split": how}))
    dataset = scaled.dataset.model_copy(update={"scale": low_rank()[0].scale})
    with pytest.raises(InvalidArgument, match=r"1 training rating is too few .* aside for tuning") as refused:
        train(scaled.model_copy(update={"dataset": dataset}), lambda step: None)
    assert (refused.value.reason, refused.value.field) == (
        "DATASET_TOO_SMALL",
        "spec.tuning.validation_fraction",
    )


def test_nothing_relevant_to_rank(tmp_path: Path) -> None:
    """Found before the rating head is tuned for an hour."""
    ratings = table([(u, i, float(1 + (u + i) % 3)) for u in range(8) for i in range(8)])
    steps: list[Progress] = []
    with pytest.raises(InvalidArgument, match="is 4 or higher") as refused:
        tuned(ratings, SPEC, tmp_path, steps.append)
    assert refused.value.reason == "DATASET_TOO_SMALL"
    assert steps == []
    alone = SPEC.model_copy(update={"tuning": TuningConfig(trials=1, head="rating")})
    assert tuned(ratings, alone, tmp_path / "alone", steps.append).facts["rating"]["trials"] == 1


def test_every_engine_has_a_space_that_the_specification_allows() -> None:
    engines = {
        kind
        for head in ("rating", "ranking")
        for kind in get_args(TrainingSpec.model_fields[head].annotation)
        if kind.model_fields["engine"].default not in {"none", "auto"}
    }
    assert set(SPACES) == engines
    for engine, space in SPACES.items():
        for end in ("low", "high"):
            engine.model_validate({name: getattr(known, end) for name, known in space.items()})


def test_ranges_reach_the_given_values() -> None:
    space = space_around(AlsConfig(factors=300, regularization=0.001))
    assert (space["factors"].low, space["factors"].high) == (4, 300)
    assert (space["regularization"].low, space["regularization"].high) == (0.001, 0.5)
    assert SPACES[AlsConfig]["factors"].high == 64


def test_optuna_is_not_loaded_unless_it_is_needed() -> None:
    # As a fit process loads it: without Keras.
    code = (
        "import sys; from mfserve_trainer.fit_process import import_tensorflow; import_tensorflow();"
        "import mfserve_trainer.training; sys.exit('optuna' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60, check=False).returncode == 0


def test_a_tuned_training_measures_no_worse_on_the_holdout(tmp_path: Path, csv: Path) -> None:
    """The search starts from parameters that are far off, on ratings that have a right answer."""
    plain = trained(tmp_path / "plain", csv, SPEC.model_copy(update={"tuning": None}))
    best = trained(tmp_path / "best", csv, SPEC)
    assert "tuning" not in plain.facts
    assert plain.digest != best.digest
    mse = [done.facts["metrics"]["rating"][0]["mse"] for done in (plain, best)]
    assert mse[1] < 0.7 * mse[0]
    assert np.isfinite(mse).all()
