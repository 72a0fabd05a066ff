"""A trainer that is killed in mid-fit costs nobody an answer, and the job is done all the same."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import psutil

from mfserve import Als, Client
from mfserve.types import TrainingStage
from tests.integration.conftest import TRAINING_SECONDS, MovieLens


@contextmanager
def asked_in_a_loop(address: str) -> Iterator[list[Exception | int]]:
    """Calls Recommend without a pause; yields what every call gave: its version, or its error."""
    outcomes: list[Exception | int] = []
    done = threading.Event()

    def ask() -> None:
        with Client(address) as client:
            while not done.is_set():
                try:
                    outcomes.append(client.recommend("movies", "196").served_version.version)
                except Exception as error:  # noqa: BLE001 - any error is a failed call
                    outcomes.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield outcomes
    finally:
        done.set()
        asking.join()


def test_killed_trainer_is_replaced_and_the_job_succeeds(movielens: MovieLens) -> None:
    service = movielens.service
    with asked_in_a_loop(service.address) as outcomes, Client(service.address) as client:
        before = [version.version for version in client.list_versions("movies")]
        job = client.train("movies", dataset="movielens-100k", rating=Als(iterations=60))
        watching = job.watch(timeout=TRAINING_SECONDS)
        for step in watching:
            if step.stage is TrainingStage.RATING_FIT and step.epoch >= 2:
                break
        fitting = service.trainers()
        service.trainer().kill()
        psutil.wait_procs(fitting, timeout=10)
        assert not [process for process in fitting if process.is_running()], "a fit outlives its trainer"
        version = job.result(timeout=TRAINING_SECONDS)
        job.refresh()
    assert job.info.attempt == 2
    with Client(service.address) as client:
        after = [version.version for version in client.list_versions("movies")]
    assert after == [version.version, *before]
    assert version.evaluation is not None
    assert len(outcomes) > 100
    # The job did not ask to be promoted: version 1 answers throughout.
    assert set(outcomes) == {1}
