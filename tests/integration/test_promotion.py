"""A new version takes over under load without a failed call or a mixed answer."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mfserve import Als, Client, Ials, PromotionGates
from mfserve.types import ModelVersion, Recommendations
from mfserve_registry import Registry
from tests.integration.oracle import oracle
from tests.integration.service import RunningService, running_service
from tests.registry.snapshot.samples import random_content
from tests.server.samples import FACTS, LEASE, fulfil
from tests.waiting import eventually

CALLERS = 8
TRAINING_SECONDS = 120.0
QUICK = Als(factors=4, iterations=4)
"""A rating head that costs next to nothing: what matters here is when a version is served."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("promotion")
    # A settings file of the server, which its trainer must not stumble over.
    config = folder / "mfserve.toml"
    config.write_text("workers = 4\nport = 1\n")
    with running_service(folder / "home", MFSERVE_CONFIG=str(config)) as service:
        yield service


def ratings(seed: int, users: int = 60, items: int = 80) -> dict[str, list[object]]:
    """Ratings of a random half of all pairs, by a random matrix of rank 3."""
    random = np.random.default_rng(seed)
    wish = random.normal(size=(users, 3)) @ random.normal(size=(3, items))
    user, item = np.nonzero(random.random((users, items)) < 0.5)
    rating = np.clip(np.rint(3 + wish[user, item]), 1, 5)
    return {
        "user_id": [f"u{number}" for number in user],
        "item_id": [f"i{number}" for number in item],
        "rating": rating.tolist(),
    }


@pytest.mark.parametrize(
    "promotions", [2, pytest.param(40, marks=[pytest.mark.storm, pytest.mark.timeout(1200)])]
)
def test_promotion_under_load_fails_no_call_and_mixes_no_answer(
    service: RunningService, promotions: int
) -> None:
    model = f"shop-{promotions}"
    users = [f"u{number}" for number in range(60)]
    answers: list[tuple[str, Recommendations]] = []
    done = threading.Event()

    def call(number: int) -> None:
        random = np.random.default_rng(number)
        with Client(service.address) as client:
            while not done.is_set():
                user = users[random.integers(len(users))]
                answers.append((user, client.recommend(model, user, limit=10)))

    with Client(service.address) as client, ThreadPoolExecutor(CALLERS) as pool:
        versions = [client.train(model, dataset=ratings(1), rating=QUICK).result(timeout=TRAINING_SECONDS)]
        callers = [pool.submit(call, number) for number in range(CALLERS)]
        try:
            for seed in range(2, 2 + promotions):
                versions.append(_train_and_promote(client, model, seed))
                _until_answered_by(versions[-1].version, answers)
        finally:
            done.set()
        for caller in callers:
            caller.result()

    served = {answer.served_version.version for _, answer in answers}
    assert served == set(range(1, 2 + promotions))
    expected = {
        (version.version, user): brute.recommend(user, 10)
        for version in versions
        for brute in [oracle(service.home, version.digest)]
        for user in users
    }
    for user, answer in answers:
        assert [item.item_id for item in answer] == expected[answer.served_version.version, user]


def _until_answered_by(version: int, answers: list[tuple[str, Recommendations]]) -> None:
    def settled() -> bool:
        latest = answers[-200:]
        return sum(answer.served_version.version == version for _, answer in latest) > 150

    eventually(settled, f"version {version} answers")


def _train_and_promote(client: Client, model: str, seed: int) -> ModelVersion:
    job = client.train(
        model,
        dataset=ratings(seed),
        rating=QUICK,
        ranking=Ials(factors=8 + seed),
        promote_to_alias="production",
        # Each version is of other ratings, by which no gate would have it: what matters here is the swap.
        gates=PromotionGates(off=True),
    )
    return job.result(timeout=TRAINING_SECONDS)


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service without a trainer: the test is one, through the registry's own calls."""
    with running_service(tmp_path_factory.mktemp("untrained"), "--workers", "4", "--no-trainer") as service:
        yield service


def test_recommend_right_after_result_works_on_every_worker(untrained: RunningService) -> None:
    content = replace(random_content(4), facts=FACTS)
    with (
        Registry.open(untrained.home) as registry,
        Client(untrained.address) as trainer,
        ThreadPoolExecutor(1) as pool,
    ):
        for number in range(50):
            model = f"fresh-{number}"
            job = trainer.train(model, dataset="movielens-100k")
            claim = registry.jobs.claim("test", LEASE)
            assert claim is not None
            # Meanwhile, so that the result is waited for when it comes.
            publishing = pool.submit(fulfil, registry, claim, content)
            job.result(timeout=TRAINING_SECONDS)
            # Each client has a connection of its own, and the kernel spreads connections over the workers.
            for _ in range(6):
                with Client(untrained.address) as client:
                    assert client.recommend(model, "u1").served_version.model == model
            publishing.result()


def test_server_processes_hold_no_tensorflow(service: RunningService) -> None:
    for worker in service.workers:
        loaded = Path(f"/proc/{worker}/maps").read_text()
        assert "grpc" in loaded
        assert "tensorflow" not in loaded
