"""The whole training in one process, with real engines on small ratings."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from mfserve_registry.errors import InvalidArgument, RegistryError
from mfserve_registry.jobs import Progress
from mfserve_registry.snapshot import Snapshot
from mfserve_registry.spec import KerasConfig, NoRanking, NoRating, NoSplit, TrainingSpec
from mfserve_scoring import Basis, Recommender
from mfserve_trainer import embedding_logs, training
from mfserve_trainer.progress import Stage
from mfserve_trainer.training import Trained, train
from tests.registry.snapshot.samples import rating_of
from tests.trainer.engines.synthetic import low_rank, two_camps
from tests.trainer.samples import QUICK, fit_task, write_csv


def ignore(step: Progress) -> None:
    """A report that nobody reads."""


def trained(folder: Path, csv: Path, spec: TrainingSpec) -> tuple[Trained, Snapshot]:
    task = fit_task(folder, csv, spec)
    done = train(task, ignore)
    return done, Snapshot.open(task.staged, done.digest)


def metric(done: Trained, kind: str, name: str) -> dict[str, Any]:
    rows: list[dict[str, Any]] = done.facts["metrics"][kind]
    return next(row for row in rows if name in row.values())


def test_low_rank_ratings_are_learned_and_all_of_them_served(tmp_path: Path, csv: Path) -> None:
    steps: list[Progress] = []
    task = fit_task(tmp_path, csv, QUICK)
    done = train(task, steps.append)
    snapshot = Snapshot.open(task.staged, done.digest)
    ratings, held_out = low_rank()

    # The refit knows all ratings; a fifth of them was held out for the metrics.
    assert snapshot.rated.indptr[-1] == len(ratings)
    assert list(snapshot.users.take(np.arange(len(snapshot.users)))) == list(ratings.user_ids)
    assert done.facts["metrics"]["holdout_ratings"] == round(0.2 * len(ratings))
    assert metric(done, "rating", "RATING_HEAD")["rmse"] < metric(done, "rating", "GLOBAL_MEAN")["rmse"] / 2
    # Cells that no fit saw are predicted as well as the holdout was.
    pairs = [
        (str(ratings.user_ids[u]), str(ratings.item_ids[i]))
        for u, i in zip(held_out.user, held_out.item, strict=True)
    ]
    errors = Recommender(snapshot).predict_many(pairs).ratings - held_out.rating
    assert np.sqrt(np.mean(errors**2)) < 0.5
    assert snapshot.titles is not None
    assert snapshot.titles[0] == f"Film {snapshot.items[0]}"
    assert json.loads(json.dumps(done.facts)) == snapshot.manifest.facts == done.facts
    assert done.facts["spec"] == QUICK.model_dump(mode="json")
    assert done.facts["split"] == {"kind": "random", "fraction": 0.2, "seed": 7}
    assert done.facts["dataset"]["name"] == "low-rank.csv"
    assert done.facts["dataset"]["ratings"] == len(ratings)
    names = ["rating-training-curve.csv", "ranking-training-curve.csv", "holdout.npz", "report.html"]
    assert [artifact.name for artifact in done.artifacts] == names
    assert_complete(
        steps,
        {
            Stage.LOADING: 0,
            Stage.RATING_FIT: 6,
            Stage.RANKING_FIT: 4,
            Stage.EVALUATION: 0,
            Stage.RATING_REFIT: 6,
            Stage.RANKING_REFIT: 4,
            Stage.REPORT: 0,
            Stage.PUBLISHING: 0,
        },
    )


def assert_complete(steps: list[Progress], epochs: dict[Stage, int]) -> None:
    """Every stage begins once and each of its epochs passes once, in order."""
    expected = [(stage, epoch) for stage, total in epochs.items() for epoch in range(total + 1)]
    assert [(step.stage, step.epoch) for step in steps] == expected
    for step in steps:
        assert step.epochs == epochs[Stage(step.stage)]
        assert (step.remaining_seconds is None) == (step.stage == Stage.LOADING or step is steps[1])
        assert step.remaining_seconds is None or step.remaining_seconds >= 0
    assert all(before.epoch + 1 == after.epoch or after.epoch == 0 for before, after in pairwise(steps))


def test_same_ratings_specification_and_seed_give_the_same_digest(tmp_path: Path, csv: Path) -> None:
    first, snapshot = trained(tmp_path / "first", csv, QUICK)
    again, _ = trained(tmp_path / "again", csv, QUICK)
    other, another = trained(tmp_path / "other", csv, QUICK.model_copy(update={"seed": 1}))
    assert first.digest == again.digest
    assert first.digest != other.digest
    # Not only the manifest, which names the seed, but what was fitted.
    assert not np.array_equal(rating_of(snapshot).item_factors, rating_of(another).item_factors)
    assert snapshot.ranking is not None
    assert another.ranking is not None
    assert not np.array_equal(snapshot.ranking.item_factors, another.ranking.item_factors)


def test_without_a_refit_the_measured_fit_is_served(tmp_path: Path, csv: Path) -> None:
    done, snapshot = trained(tmp_path, csv, QUICK.model_copy(update={"refit": False}))
    ratings = low_rank()[0]
    assert snapshot.rated.indptr[-1] == len(ratings) - done.facts["metrics"]["holdout_ratings"]


def test_without_a_split_there_are_no_metrics(tmp_path: Path, csv: Path) -> None:
    steps: list[Progress] = []
    spec = QUICK.model_copy(update={"split": NoSplit(), "ranking": NoRanking()})
    task = fit_task(tmp_path, csv, spec)
    done = train(task, steps.append)
    snapshot = Snapshot.open(task.staged, done.digest)
    assert done.facts["metrics"] is None
    assert snapshot.ranking is None
    assert Recommender(snapshot).recommend("u0000", 3).basis is Basis.MODEL
    assert_complete(steps, {Stage.LOADING: 0, Stage.RATING_FIT: 6, Stage.REPORT: 0, Stage.PUBLISHING: 0})


def test_a_defect_in_the_report_loses_no_training(
    tmp_path: Path, csv: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(training, "page", broken)
    monkeypatch.setattr(embedding_logs, "write", broken)
    with capture_logs() as logs:
        done, snapshot = trained(tmp_path, csv, QUICK.model_copy(update={"refit": False}))
    assert [artifact.name for artifact in done.artifacts] == [
        "rating-training-curve.csv",
        "ranking-training-curve.csv",
        "holdout.npz",
    ]
    assert snapshot.digest == done.digest
    assert [(entry["log_level"], entry["part"]) for entry in logs] == [
        ("error", "embedding logs"),
        ("error", "page"),
    ]


def test_without_a_rating_engine_the_ranking_head_is_graded_by_the_ratings(tmp_path: Path, csv: Path) -> None:
    steps: list[Progress] = []
    task = fit_task(tmp_path, csv, QUICK.model_copy(update={"rating": NoRating()}))
    done = train(task, steps.append)
    snapshot = Snapshot.open(task.staged, done.digest)
    assert snapshot.rating is None
    assert snapshot.scale is not None
    recommender = Recommender(snapshot)
    liked, disliked = (recommender.recommend_history([("i0001", 5.0), ("i0002", r)], 9) for r in (5.0, 1.0))
    assert liked.scores.tobytes() != disliked.scores.tobytes()
    assert done.facts["metrics"]["rating"] == []
    assert [row["ranker"] for row in done.facts["metrics"]["ranking"]] == ["RANKING_HEAD", "POPULARITY"]
    stages = [step.stage for step in steps if step.epoch == 0]
    assert stages == [
        Stage.LOADING,
        Stage.RANKING_FIT,
        Stage.EVALUATION,
        Stage.RANKING_REFIT,
        Stage.REPORT,
        Stage.PUBLISHING,
    ]


def test_what_a_camp_loves_is_recommended_before_what_is_popular(tmp_path: Path) -> None:
    csv = write_csv(two_camps()[0], tmp_path / "camps.csv")
    done, _ = trained(tmp_path / "fit", csv, QUICK)
    ranked = metric(done, "ranking", "RANKING_HEAD")["ndcg_at_10"]
    assert ranked > metric(done, "ranking", "POPULARITY")["ndcg_at_10"] + 0.1


# Keras reads its own learning rate in a way that NumPy 2 warns about.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_the_keras_engine_trains_through_the_same_pipeline(tmp_path: Path, csv: Path) -> None:
    spec = QUICK.model_copy(update={"rating": KerasConfig(factors=4, epochs=3, batch_size=64, biases=True)})
    done, snapshot = trained(tmp_path, csv, spec)
    assert done.facts["spec"]["rating"]["engine"] == "keras"
    assert rating_of(snapshot).user_factors.shape[1] == 4
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_a_training_that_diverges_fails(tmp_path: Path) -> None:
    """Ratings of 10³⁸ are finite, the squares of their errors are not."""
    rows = [f"u{u},i{i},{(-1) ** (u + i)}e38,T" for u in range(8) for i in range(8)]
    csv = tmp_path / "huge.csv"
    csv.write_text("\n".join(["user_id,item_id,rating,title", *rows, ""]))
    spec = QUICK.model_copy(update={"rating": KerasConfig(factors=2, epochs=1)})
    with pytest.raises(RegistryError) as refused:
        trained(tmp_path / "fit", csv, spec)
    assert refused.value.reason == "TRAINING_DIVERGED"


def test_too_few_ratings_to_hold_any_out_are_refused(tmp_path: Path) -> None:
    csv = tmp_path / "one.csv"
    csv.write_text("user_id,item_id,rating,title\nu,i,3,T\n")
    with pytest.raises(InvalidArgument) as refused:
        trained(tmp_path / "fit", csv, QUICK)
    assert refused.value.reason in {"DATASET_TOO_SMALL", "DATASET_INVALID"}
