"""A trainer that is killed in mid-fit costs nobody an answer, and the job is done all the same."""

from __future__ import annotations

import psutil
import pytest

from mfserve import Als, Client, NoRanking
from mfserve.types import TrainingStage
from tests.integration.asking import asked_in_a_loop
from tests.integration.conftest import TRAINING_SECONDS, MovieLens
from tests.integration.service import RunningService


@pytest.mark.parametrize("kills", [1, pytest.param(10, marks=[pytest.mark.storm, pytest.mark.timeout(1200)])])
def test_killed_trainer_is_replaced_and_the_job_succeeds(movielens: MovieLens, kills: int) -> None:
    service = movielens.service
    with asked_in_a_loop(service.address) as outcomes, Client(service.address) as client:
        before = [version.version for version in client.list_versions("movies")]
        for _ in range(kills):
            # One long fit, which is killed, and nothing after it.
            job = client.train(
                "movies",
                dataset="movielens-100k",
                rating=Als(iterations=30),
                ranking=NoRanking(),
                refit=False,
            )
            for step in job.watch(timeout=TRAINING_SECONDS):
                if step.stage is TrainingStage.RATING_FIT and step.epoch >= 2:
                    break
            kill_with_its_fit(service)
            version = job.result(timeout=TRAINING_SECONDS)
            assert job.refresh().info.attempt == 2
            assert version.evaluation is not None
            before.insert(0, version.version)
        assert [version.version for version in client.list_versions("movies")] == before
    assert len(outcomes) > 100
    # The jobs did not ask to be promoted: version 1 answers throughout.
    assert set(outcomes) == {1}


def kill_with_its_fit(service: RunningService) -> None:
    """Kills the trainer alone; its fit has to end by itself."""
    family = service.trainers()
    service.trainer().kill()
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive, "a fit outlives its trainer"
