"""A trainer and a server on machines of their own share a registry on PostgreSQL and S3, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mfserve import Client
from mfserve.types import Als, NoSplit
from tests.backends import bucket, place_of, postgres
from tests.integration.service import running_service
from tests.trainer.trainers import running_trainer

__all__ = ["bucket", "postgres"]


def test_training_here_and_serving_there(
    tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(7)
    ratings = pd.DataFrame(
        {
            "user_id": chance.integers(40, size=600).astype(str),
            "item_id": chance.integers(30, size=600).astype(str),
            "rating": chance.integers(1, 6, size=600),
        }
    ).drop_duplicates(["user_id", "item_id"])
    trainer, server = tmp_path / "trainer", tmp_path / "server"
    trainer.mkdir()
    with place_of("postgres-s3", server, request) as place:
        assert place.database_url is not None
        assert place.store_url is not None
        monkeypatch.setenv("MFSERVE_DATABASE_URL", place.database_url)
        monkeypatch.setenv("MFSERVE_STORE_URL", place.store_url)
        with (
            running_trainer(trainer, tmp_path),
            running_service(server, "--no-trainer") as service,
            Client(service.address) as client,
        ):
            job = client.train("shop", dataset=ratings, rating=Als(factors=2, iterations=2), split=NoSplit())
            version = job.result(timeout=120)
            assert client.recommend("shop", "7", limit=5).served_version.digest == version.digest
            assert client.get_version("shop", 1).digest == version.digest
    assert (server / "cache" / "copies" / "snapshots" / version.digest).is_dir()
    for home in (trainer, server):
        assert not {"registry.db", "snapshots", "uploads"} & {path.name for path in home.iterdir()}
