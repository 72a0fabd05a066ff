"""A new version takes over under load without a failed call or a mixed answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from mfserve import Client, Ials, PromotionGates
from mfserve.types import ModelVersion
from mfserve_registry import Registry
from tests.integration.load import asked_by_many
from tests.integration.oracle import oracle
from tests.integration.samples import QUICK, ratings
from tests.integration.service import RunningService, running_service
from tests.registry.snapshot.samples import random_content
from tests.server.samples import FACTS, LEASE, fulfil

TRAINING_SECONDS = 120.0


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    folder = tmp_path_factory.mktemp("promotion")
    # A settings file of the server, which its trainer must not stumble over.
    config = folder / "mfserve.toml"
    config.write_text("workers = 4\nport = 1\n")
    with running_service(folder / "home", MFSERVE_CONFIG=str(config)) as service:
        yield service


@pytest.mark.parametrize(
    "promotions", [2, pytest.param(40, marks=[pytest.mark.storm, pytest.mark.timeout(1200)])]
)
def test_promotion_under_load_fails_no_call_and_mixes_no_answer(
    service: RunningService, promotions: int
) -> None:
    model = f"shop-{promotions}"
    with Client(service.address) as client:
        versions = [client.train(model, dataset=ratings(1), rating=QUICK).result(timeout=TRAINING_SECONDS)]
        with asked_by_many(model, [service.address]) as load:
            for seed in range(2, 2 + promotions):
                versions.append(_train_and_promote(client, model, seed))
                load.until_answered_by(versions[-1].version, [service.address])
    assert {version for _, version in load.versions} == set(range(1, 2 + promotions))
    load.check({version.version: oracle(service.home, version.digest) for version in versions})


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
