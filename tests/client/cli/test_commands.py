"""Every command against a real server: what a person sees, what a program reads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import pytest

from mfserve import Client
from mfserve_registry import Progress, Registry
from tests.client.cli.conftest import Run, command, environment
from tests.integration.service import RunningService, eventually
from tests.server.samples import LEASE


@pytest.fixture
def item(client: Client) -> str:
    return client.get_embeddings("movies", "item").ids[0]


@pytest.fixture
def user(client: Client) -> str:
    return client.get_embeddings("movies", "user").ids[0]


def document(run: Run, *arguments: str) -> Any:
    finished = run(*arguments, "--json")
    assert (finished.code, finished.err) == (0, "")
    return json.loads(finished.out)


def test_recommend(run: Run, client: Client, user: str) -> None:
    told = document(run, "recommend", "movies", user, "--limit", "3")
    found = client.recommend("movies", user, limit=3)
    assert [item["item_id"] for item in told["items"]] == [item.item_id for item in found]
    assert told["served_version"]["version"] == 1
    table = run("recommend", "movies", user, "--limit", "3").out
    assert all(item.item_id in table for item in found)
    assert "basis MODEL, ranked by the ranking head; answered by movies version 1" in table


def test_recommend_with_options(run: Run, client: Client, user: str, item: str) -> None:
    options = ["--include-seen", "--ranking-head", "rating", "--version", "2", "--exclude", item]
    told = document(run, "recommend", "movies", user, *options)
    found = client.recommend(
        "movies", user, include_seen=True, ranking_head="rating", version=2, exclude_item_ids=[item]
    )
    assert [one["item_id"] for one in told["items"]] == [one.item_id for one in found]
    assert told["served_version"]["version"] == 2
    assert told["ranking_head"] == "RATING"


def test_recommend_to_a_history(run: Run, item: str) -> None:
    told = document(run, "recommend", "movies", "--history", f"{item}=4")
    assert told["basis"] == "FOLD_IN"
    assert item not in [one["item_id"] for one in told["items"]]


def test_predict_and_similar(run: Run, client: Client, user: str, item: str) -> None:
    told = document(run, "predict", "movies", user, item)
    assert told["rating"] == client.predict_rating("movies", user, item).rating
    assert f"{told['rating']:.2f}" in run("predict", "movies", user, item).out
    similar = document(run, "similar", "movies", item, "--limit", "2")
    assert [one["item_id"] for one in similar["items"]] == [
        one.item_id for one in client.similar_items("movies", item, limit=2)
    ]
    assert "similarity" in run("similar", "movies", item).out


def test_models_and_versions(run: Run) -> None:
    assert [one["model"] for one in document(run, "models")] == ["movies"]
    assert document(run, "models", "movies")["latest_version"] == 2
    assert "production → 1" in run("models").out
    assert "production" in run("models", "movies").out
    assert [one["version"] for one in document(run, "versions", "movies")] == [2, 1]
    assert document(run, "versions", "movies", "latest")["version"] == 2
    shown = run("versions", "movies", "1").out
    assert "0.8100" in shown
    assert "training_curve.svg" in shown


def test_a_file_of_a_version(run: Run, tmp_path: Path) -> None:
    target = tmp_path / "curve.svg"
    finished = run("versions", "movies", "1", "--artifact", "training_curve.svg", "--output", str(target))
    assert finished.code == 0
    assert target.read_bytes() == b"<svg/>"
    gone = run(
        "versions", "movies", "1", "--artifact", "training_curve.svg", "-o", str(tmp_path / "no" / "x")
    )
    assert (gone.code, gone.err.count("\n")) == (1, 1)
    assert "cannot write" in gone.err


def test_alias(run: Run) -> None:
    assert document(run, "alias", "movies", "candidate", "2")["revision"] == 1
    assert document(run, "alias", "movies", "candidate", "1", "--reason", "better")["revision"] == 2
    assert {one["alias"] for one in document(run, "alias", "movies")} == {"production", "candidate"}
    lost = run("alias", "movies", "candidate", "2", "--expected-revision", "1")
    assert (lost.code, lost.err.count("\n")) == (1, 1)
    assert "revision" in lost.err


def test_status(run: Run, service: RunningService) -> None:
    told = document(run, "status")
    assert [server["pid"] for server in told["servers"]] == list(service.workers)
    assert "AVAILABLE" in run("status").out


@pytest.mark.parametrize("head", ["ranking", "rating"])
def test_embeddings(run: Run, client: Client, tmp_path: Path, head: Literal["ranking", "rating"]) -> None:
    expected = client.get_embeddings("movies", "user", head=head)
    told = document(
        run, "embeddings", "movies", "--side", "user", "--head", head, "-o", str(tmp_path / "e.npz")
    )
    assert told["count"] == len(expected.ids)
    with np.load(tmp_path / "e.npz", allow_pickle=False) as stored:
        assert stored["ids"].tolist() == list(expected.ids)
        assert np.array_equal(stored["values"], np.asarray(expected.values))
        assert ("biases" in stored) == (head == "rating")
    assert (
        run("embeddings", "movies", "--side", "user", "--head", head, "-o", str(tmp_path / "e.parquet")).code
        == 0
    )
    table = pq.read_table(tmp_path / "e.parquet")
    assert table["id"].to_pylist() == list(expected.ids)
    assert np.array_equal(np.stack(table["values"].to_numpy()), np.asarray(expected.values))


def test_jobs_from_queue_to_cancel(run: Run, client: Client) -> None:
    queued = document(run, "train", "new", "movielens-100k", "--engine", "keras", "--epochs", "3")
    assert queued["spec"]["rating"]["epochs"] == 3
    assert queued["state"] == "PENDING"
    assert queued["job_id"] in run("jobs", "--state", "pending").out
    assert "PENDING" in run("jobs", queued["job_id"]).out
    assert document(run, "jobs", queued["job_id"], "--cancel")["state"] == "CANCELLED"
    assert client.get_job(queued["job_id"]).state.value == "CANCELLED"
    again = run("jobs", queued["job_id"], "--wait")
    assert (again.code, again.out) == (1, "")
    assert "cancelled" in again.err


def test_train_waits_and_tells_why_it_failed(service: RunningService, registry: Registry) -> None:
    waiting = subprocess.Popen(
        command("train", "fails", "movielens-100k", "--wait"),
        env=environment(service.address),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    claim = eventually(lambda: registry.jobs.claim("test", LEASE), "the job is queued")
    registry.jobs.record(claim, [Progress("RATING_FIT", 0, 2), Progress("RATING_FIT", 1, 2, {"loss": 0.5})])
    registry.jobs.fail(claim, "DATASET_INVALID", "ratings.csv line 7: no number.", retry=False)
    out, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, out) == (1, "")
    assert "epoch 1/2  loss 0.5000" in err
    assert "ratings.csv line 7: no number." in err.splitlines()[-1]
    assert "Traceback" not in err


def test_interrupted_wait_says_that_the_training_goes_on(service: RunningService, client: Client) -> None:
    waiting = subprocess.Popen(
        command("train", "slow", "movielens-100k", "--wait", "--request-id", "interrupted"),
        env=environment(service.address),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert waiting.stderr is not None
    named = waiting.stderr.readline()
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert "goes on" in err
    assert client.cancel_job(named.split()[1]).state.value == "CANCELLED"


def test_piped_output_is_plain_and_a_reader_may_leave(run: Run, service: RunningService, user: str) -> None:
    assert "\x1b" not in run("versions", "movies", FORCE_COLOR="").out
    reader, writer = os.pipe()
    os.close(reader)
    finished = subprocess.run(
        command("recommend", "movies", user),
        env=environment(service.address),
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=60,
        check=False,
    )
    os.close(writer)
    assert finished.returncode == 1
    assert finished.stderr == b""
