"""One training from beginning to end: load, split, fit, measure, fit again on everything, write."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mfserve_registry.artifacts import Artifact
from mfserve_registry.snapshot import Snapshot, write_snapshot
from mfserve_registry.snapshot.content import RankingHead, RatingHead, SnapshotContent
from mfserve_registry.spec import AutoRating, IalsConfig, NoRating, TrainingSpec
from mfserve_trainer import embedding_logs
from mfserve_trainer.assemble import assemble
from mfserve_trainer.datasets import load
from mfserve_trainer.engines import Epoch, ReportEpoch, fit_ranking, fit_rating
from mfserve_trainer.evaluation import evaluate
from mfserve_trainer.holdout_rows import HoldoutRows
from mfserve_trainer.indexing import check_installed, index_items
from mfserve_trainer.memory import release_free_memory
from mfserve_trainer.messages import FitTask
from mfserve_trainer.ordering import by_descending_norm
from mfserve_trainer.progress import ProgressMeter, ReportStep, Stage, Work
from mfserve_trainer.ratings import Ratings
from mfserve_trainer.report import Holdout, draw, guarded, page
from mfserve_trainer.resolving import resolve
from mfserve_trainer.splits import split
from mfserve_trainer.tuning import HEADS, tuned_heads

if TYPE_CHECKING:
    from mfserve_trainer.tuning.tune import Tuned


@dataclass(frozen=True, slots=True)
class Trained:
    """A snapshot that lies in ``FitTask.staged``, and what goes with it.

    Attributes:
        digest: of the snapshot.
        facts: what its manifest says: "spec", "dataset", "split", "metrics", and "tuning" where there was one.
        artifacts: files about the fit that is served, what the holdout fit said of the rows held out, and the report.
    """

    digest: str
    facts: dict[str, Any]
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True)
class _Heads:
    rating: RatingHead | None
    ranking: RankingHead | None
    artifacts: tuple[Artifact, ...]
    epochs: Mapping[str, Sequence[Epoch]]
    """Those of each head's fit."""


def train(task: FitTask, report: ReportStep) -> Trained:
    """Trains as the task says and writes the snapshot to its folder.

    A tuning, where it is asked for, comes first: it chooses the configuration by the training rows alone. Then there
    are two fits: the holdout fit on the training rows, which is measured on its own snapshot, and the refit on all
    rows, which is served. Without a holdout or a refit there is one, and it is served.

    Raises:
        RegistryError: what is wrong with the data, or TRAINING_DIVERGED.
    """
    meter = ProgressMeter(report)
    meter.begin(Stage.LOADING)
    ratings = load(task.dataset, data_roots=task.data_roots, uploads=task.uploaded, cache=task.cache)
    spec = _resolved(task.spec, ratings)
    parts = split(ratings, spec.split)
    held_out = len(parts.holdout_rows) > 0
    refitted = held_out and spec.refit
    served = ratings.take(parts.train_rows) if held_out else ratings
    holdout = ratings.take(parts.holdout_rows) if held_out else None
    sizes = (len(served), len(parts.holdout_rows), len(ratings) if refitted else 0)
    del parts
    if held_out:
        ratings = ratings.set_aside(task.scratch / "ratings")  # until the refit
    release_free_memory()
    meter.plan(_ahead(spec, *sizes))

    tuned = _tuned(served, spec, meter, task)
    if tuned is not None:
        spec = tuned.spec
        meter.plan(_ahead(spec, *sizes))
    heads = _fit(served, spec, meter, (Stage.RATING_FIT, Stage.RANKING_FIT), task.log_dir)
    measured = holdout_fit = rows = None
    if holdout is not None:
        meter.begin(Stage.EVALUATION)
        content = by_descending_norm(assemble(served, heads.rating, heads.ranking, facts={}))
        holdout_fit = write_snapshot(task.scratch, content)
        del content
        if refitted:
            del heads  # the snapshot has them, and what comes next needs the memory
            served = ratings
            release_free_memory()
        measured, rows = _measured(_open(task.scratch, holdout_fit), holdout)
    if refitted:
        heads = _fit(ratings, spec, meter, (Stage.RATING_REFIT, Stage.RANKING_REFIT), task.log_dir)

    facts = _facts(spec, ratings, measured, tuned)
    content = by_descending_norm(assemble(served, heads.rating, heads.ranking, facts))
    heads = replace(heads, rating=None, ranking=None)  # the content has them, in its order
    content = _indexed(content, spec, meter)
    meter.begin(Stage.REPORT)
    drawn_from = None
    if holdout_fit is not None and holdout is not None:
        drawn_from = Holdout.sample(_open(task.scratch, holdout_fit), holdout, spec.seed)
    pictures = draw(content, heads.epochs, drawn_from, spec.seed)
    guarded("embedding logs", lambda: embedding_logs.write(content, task.log_dir), None)

    meter.begin(Stage.PUBLISHING)
    digest = write_snapshot(task.staged, content)
    rendered = guarded(
        "page", lambda: page(facts, pictures, model=task.model, job_id=task.job_id, digest=digest), None
    )
    more = (rows, None if tuned is None else tuned.artifact, rendered)
    return Trained(digest, facts, (*heads.artifacts, *(file for file in more if file is not None)))


def _resolved(spec: TrainingSpec, ratings: Ratings) -> TrainingSpec:
    """With the trainer's choices made; an index that cannot be built is refused before the training."""
    if spec.index is not None:
        check_installed()
    return resolve(spec, ratings)


def _indexed(content: SnapshotContent, spec: TrainingSpec, meter: ProgressMeter) -> SnapshotContent:
    if spec.index is None or content.ranking is None:
        return content
    meter.begin(Stage.INDEXING)
    index = index_items(content.ranking, content.rated, spec.index, spec.seed)
    return replace(content, ranking=replace(content.ranking, index=index))


def _tuned(training: Ratings, spec: TrainingSpec, meter: ProgressMeter, task: FitTask) -> Tuned | None:
    if spec.tuning is None:
        return None
    from mfserve_trainer.tuning.tune import tune  # Optuna is loaded where it is asked for

    return tune(training, spec, spec.tuning, meter, studies=task.studies, scratch=task.scratch / "validation")


def _open(folder: Path, digest: str) -> Snapshot:
    """A snapshot that this process has written: what would be served of it."""
    return Snapshot.open(folder, digest, verify=False)


def _measured(holdout_fit: Snapshot, holdout: Ratings) -> tuple[dict[str, Any], Artifact]:
    """The metrics, and what a later version can be compared by."""
    evaluated = evaluate(holdout_fit, holdout)
    return evaluated.metrics, HoldoutRows.of(evaluated, holdout_fit, holdout).artifact()


def _fit(
    ratings: Ratings, spec: TrainingSpec, meter: ProgressMeter, stages: tuple[Stage, Stage], log_dir: Path
) -> _Heads:
    for_rating, for_ranking = stages
    rating: RatingHead | None = None
    ranking: RankingHead | None = None
    artifacts: tuple[Artifact, ...] = ()
    epochs: dict[str, list[Epoch]] = {}
    if not isinstance(spec.rating, AutoRating | NoRating):
        meter.begin(for_rating, spec.rating.passes)
        fitted = fit_rating(
            ratings,
            spec.rating,
            seed=spec.seed,
            report=_told(meter, for_rating, epochs.setdefault("Rating head", [])),
            log_dir=log_dir / for_rating.lower(),
        )
        rating, artifacts = fitted.head, fitted.artifacts
        release_free_memory()
    if isinstance(spec.ranking, IalsConfig):
        meter.begin(for_ranking, spec.ranking.passes)
        ranked = fit_ranking(
            ratings,
            spec.ranking,
            seed=spec.seed,
            report=_told(meter, for_ranking, epochs.setdefault("Ranking head", [])),
            log_dir=log_dir / for_ranking.lower(),
        )
        ranking, artifacts = ranked.head, (*artifacts, *ranked.artifacts)
        release_free_memory()
    return _Heads(rating, ranking, artifacts, epochs)


def _told(meter: ProgressMeter, stage: Stage, epochs: list[Epoch]) -> ReportEpoch:
    """Tells the meter of each epoch, and keeps it."""

    def tell(epoch: Epoch) -> None:
        epochs.append(replace(epoch, head=None))  # which holds all parameters
        meter.epoch(stage, epoch)

    return tell


def _ahead(spec: TrainingSpec, training: int, holdout: int, refit: int) -> list[Work]:
    """The stages after loading, in order, with how many ratings each goes over; none where a stage is left out."""
    ranking = spec.ranking.passes if isinstance(spec.ranking, IalsConfig) else 0
    rating = 0 if isinstance(spec.rating, AutoRating | NoRating) else spec.rating.passes
    trials = 0 if spec.tuning is None else spec.tuning.trials
    stages = [Work(HEADS[head].stage, trials, training) for head in tuned_heads(spec)]
    stages += [
        Work(Stage.RATING_FIT, rating, training),
        Work(Stage.RANKING_FIT, ranking, training),
        Work(Stage.EVALUATION, 1, holdout),
        Work(Stage.RATING_REFIT, rating, refit),
        Work(Stage.RANKING_REFIT, ranking, refit),
        Work(Stage.INDEXING, 0 if spec.index is None else 1, refit or training),
        Work(Stage.REPORT, 1, 1),
        Work(Stage.PUBLISHING, 1, refit or training),
    ]
    return [work for work in stages if work.passes and work.ratings]


def _facts(
    spec: TrainingSpec, ratings: Ratings, measured: dict[str, Any] | None, tuned: Tuned | None
) -> dict[str, Any]:
    """What the manifest says of the training."""
    facts = {
        "spec": spec.model_dump(mode="json"),
        "dataset": _dataset_facts(ratings),
        "split": spec.split.model_dump(mode="json"),
        "metrics": measured,
    }
    return facts if tuned is None else facts | {"tuning": tuned.facts}


def _dataset_facts(ratings: Ratings) -> Mapping[str, Any]:
    return {
        "name": ratings.name,
        "fingerprint": ratings.fingerprint,
        "ratings": len(ratings),
        "users": len(ratings.user_ids),
        "items": len(ratings.item_ids),
        "scale": None if ratings.implicit else ratings.scale.model_dump(mode="json"),
        "period": None if ratings.period is None else list(ratings.period),
        "skipped": {reason: int(rows) for reason, rows in ratings.skipped.items()},
    }
