"""mfserve itself, under the same conditions: trained by the real fit process, published, scored from the snapshot.

The setting is a TrainingSpec as JSON; what it leaves out has its default, so ``{}`` is the default training. A sample
of what the snapshot says is asked of a running server too, and has to be equal to the last bit.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from benchmarks.peers.exchange import DEPTH, NOBODY, Answer, Task, answer
from benchmarks.service import running
from mfserve import Client
from mfserve.types import RatingPrediction
from mfserve_registry import JobRequest, Registry
from mfserve_registry.settings import ProcessSettings
from mfserve_registry.snapshot import Snapshot
from mfserve_registry.spec import DatasetSpec, FileDataset, NoRanking, RatingScale, TrainingSpec
from mfserve_scoring import RatingPredictions, RecommendationBatch, Recommender
from mfserve_trainer.fitter import Fitter
from mfserve_trainer.messages import Done, Failed, FitTask, Step
from mfserve_trainer.progress import Stage

MODEL = "quality"
SAMPLE_PAIRS, SAMPLE_USERS = 300, 100


def perform(task: Task, setting: str) -> Answer:
    spec = TrainingSpec.model_validate_json(setting).model_copy(update={"refit": False})
    spec = TrainingSpec.model_validate(spec.model_dump() | {"split": {"kind": "none"}})
    with tempfile.TemporaryDirectory(prefix="mfserve-quality-") as folder:
        home = Path(folder)
        snapshot, seconds = published(task, spec, home)
        recommender = Recommender(snapshot)
        users, pairs = list(map(str, task.user_ids[: task.users])), test_pairs(task)
        predictions = recommender.predict_many(pairs)
        ranked = recommender.recommend_many(users, DEPTH)
        check_server(home, snapshot, (pairs, predictions), (users, ranked))
        told = predictions.deviations
        rated = Answer(
            predicted=predictions.ratings,
            deviation=None if told is None else np.where(told > 0, told, np.nan),
            rating_seconds=seconds[Stage.RATING_FIT],
        )
        if isinstance(spec.ranking, NoRanking):
            return rated
        top = by_code(ranked, snapshot, task)
        return Answer(rated.predicted, rated.deviation, rated.rating_seconds, top, seconds[Stage.RANKING_FIT])


def published(task: Task, spec: TrainingSpec, home: Path) -> tuple[Snapshot, dict[Stage, float]]:
    """Trains on the task's rows alone and publishes: the snapshot, as a server would open it, and seconds by stage."""
    rows = home / "training.parquet"
    columns = {
        "user_id": task.user_ids[task.user],
        "item_id": task.item_ids[task.item],
        "rating": task.rating,
    }
    parquet.write_table(pa.table(columns), rows)
    dataset = DatasetSpec(
        source=FileDataset(path=str(rows)), scale=RatingScale(minimum=task.lowest, maximum=task.highest)
    )
    with Registry.open(home) as registry:
        registry.jobs.submit(JobRequest(MODEL, dataset, spec, promote_to_alias=None, request_id="1"))
        claim = registry.jobs.claim("benchmark", timedelta(hours=1))
        if claim is None:
            raise SystemExit("the job cannot be claimed")
        scratch, staged = home / "scratch", registry.snapshots.stage()
        scratch.mkdir()
        fit = FitTask(
            model=MODEL,
            job_id=claim.job_id,
            dataset=dataset,
            spec=spec,
            data_roots=(home,),
            upload=None,
            cache=home / "cache",
            staged=staged,
            scratch=scratch,
            log_dir=home / "logs",
            studies=home / "studies",
        )
        done, seconds = asyncio.run(fitted(fit, home))
        registry.publish(claim, staged, done.digest, [], metrics={}, facts={"spec": done.facts["spec"]})
        return Snapshot.open(registry.snapshots.path(done.digest), done.digest), seconds


async def fitted(task: FitTask, home: Path) -> tuple[Done, dict[Stage, float]]:
    """What a fresh fit process makes of the task, and how long each stage took it once TensorFlow was imported."""
    began: dict[Stage, float] = {}
    fitter = Fitter(ProcessSettings(home=home))
    try:
        async with aclosing(fitter.perform(task)) as answers:
            async for message in answers:
                match message:
                    case Step():
                        began.setdefault(message.stage, time.perf_counter())
                    case Failed():
                        raise SystemExit(message.message)
                    case Done():
                        ends = [*list(began.values())[1:], time.perf_counter()]
                        return message, {
                            stage: end - start
                            for (stage, start), end in zip(began.items(), ends, strict=True)
                        }
    finally:
        await fitter.kill()
    raise SystemExit("the fit process gave no answer")


def test_pairs(task: Task) -> list[tuple[str, str]]:
    """The ids of the test rows."""
    users, items = task.user_ids[task.test_user], task.item_ids[task.test_item]
    return list(zip(map(str, users), map(str, items), strict=True))


def by_code(ranked: RecommendationBatch, snapshot: Snapshot, task: Task) -> NDArray[np.int32]:
    """The rankings in the task's codes, as ``Answer.top``."""
    codes = {str(item): code for code, item in enumerate(task.item_ids)}
    of_item = np.array([codes[item] for item in snapshot.items], np.int32)
    place = np.concatenate([np.arange(count) for count in ranked.counts])
    top = np.full((task.users, DEPTH), NOBODY, np.int32)
    top[np.repeat(np.arange(task.users), ranked.counts), place] = of_item[ranked.item_indices]
    return top


def check_server(
    home: Path,
    snapshot: Snapshot,
    predicted: tuple[list[tuple[str, str]], RatingPredictions],
    recommended: tuple[list[str], RecommendationBatch],
) -> None:
    """Asks a server for a sample of what the snapshot said; ends the program if anything differs."""
    random = np.random.default_rng(0)
    pairs, predictions = predicted
    users, ranked = recommended
    rows = random.choice(len(pairs), min(SAMPLE_PAIRS, len(pairs)), replace=False)
    starts = np.concatenate(([0], np.cumsum(ranked.counts)))
    told = predictions.deviations

    def same_rating(served: RatingPrediction, row: int, how: str) -> None:
        same(served.rating, float(predictions.ratings[row]), f"the rating of {pairs[row]} {how}")
        deviation = None if told is None else float(told[row]) or None
        same(served.stddev, deviation, f"the standard deviation of {pairs[row]} {how}")

    with running(home, "--no-trainer") as address, Client(address) as client:
        for row in rows:
            same_rating(client.predict_rating(MODEL, *pairs[row]), row, "alone")
        for row, served in zip(
            rows, client.batch_predict_ratings(MODEL, [pairs[row] for row in rows]), strict=True
        ):
            same_rating(served, row, "in a batch")
        for user in random.choice(len(users), min(SAMPLE_USERS, len(users)), replace=False):
            part = slice(starts[user], starts[user + 1])
            items = snapshot.items.take(ranked.item_indices[part])
            ranking = [
                (each.item_id, each.score) for each in client.recommend(MODEL, users[user], limit=DEPTH)
            ]
            expected = list(zip(items, ranked.scores[part].tolist(), strict=True))
            same(ranking, expected, f"the ranking of {users[user]}")


def same(served: object, scored: object, what: str) -> None:
    if served != scored:
        raise SystemExit(f"the server and the snapshot differ in {what}: {served} and {scored}")


if __name__ == "__main__":
    answer(perform)
