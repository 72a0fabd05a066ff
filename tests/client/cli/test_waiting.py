"""``--wait``: a training followed to each of its ends. The test is the trainer, through the registry's own calls."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest

from mfserve import Client
from mfserve.cli._following import wait_for
from mfserve.errors import UnavailableError
from mfserve_registry import Claim, Progress, Registry
from tests.client.cli.conftest import Run, Start
from tests.registry.snapshot.samples import random_content
from tests.server.samples import FACTS, LEASE, fulfil
from tests.waiting import eventually

STEPS = [Progress("RATING_FIT", 0, 2), Progress("RATING_FIT", 1, 2, {"loss": 0.5})]


def claimed(registry: Registry) -> Claim:
    return eventually(lambda: registry.jobs.claim("test", LEASE), "the job is queued")


def publish(registry: Registry, claim: Claim) -> int:
    return fulfil(registry, claim, replace(random_content(5), facts=FACTS)).version


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["table", "json"])
def test_a_training_that_succeeds(
    start: Start, registry: Registry, client: Client, flags: tuple[str, ...]
) -> None:
    waiting = start("train", "waited", "movielens-100k", "--wait", *flags)
    claim = claimed(registry)
    registry.jobs.record(claim, STEPS)
    version = publish(registry, claim)
    out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 0, err
    if flags:
        *steps, last = [json.loads(line) for line in out.splitlines()]
        assert [(step["stage"], step["epoch"], step["metrics"]) for step in steps] == [
            ("RATING_FIT", 0, {}),
            ("RATING_FIT", 1, {"loss": 0.5}),
        ]
        assert (last["model"], last["version"], err) == ("waited", version, "")
        assert last["digest"] == client.get_version("waited", version).digest
    else:
        assert f"waited version {version}" in out
        assert "baseline: mean rating" in out
        assert err.splitlines()[1:] == ["fit the rating head", "  epoch 1/2  loss 0.5000"]


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["table", "json"])
def test_a_training_that_fails(start: Start, registry: Registry, flags: tuple[str, ...]) -> None:
    waiting = start("train", "fails", "movielens-100k", "--wait", *flags)
    claim = claimed(registry)
    registry.jobs.record(claim, STEPS)
    registry.jobs.fail(claim, "DATASET_INVALID", "ratings.csv line 7: no number.", retry=False)
    out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 1
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [
        "error: ratings.csv line 7: no number."
    ]
    assert err.endswith("error: ratings.csv line 7: no number.\n")
    assert "Traceback" not in err
    assert len(out.splitlines()) == (len(STEPS) if flags else 0)


def test_a_training_that_is_cancelled_meanwhile(start: Start, registry: Registry, client: Client) -> None:
    waiting = start("train", "cancelled", "movielens-100k", "--wait")
    claim = claimed(registry)
    assert client.cancel_job(claim.job_id).info.cancel_requested
    registry.jobs.cancelled(claim)
    out, err = waiting.communicate(timeout=30)
    assert (waiting.returncode, out) == (1, "")
    assert err.splitlines()[-1] == f"error: job {claim.job_id} was cancelled"


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["table", "json"])
def test_ctrl_c_leaves_the_training_running_and_says_so(
    start: Start, registry: Registry, client: Client, flags: tuple[str, ...]
) -> None:
    waiting = start("train", "slow", "movielens-100k", "--wait", *flags)
    claim = claimed(registry)
    registry.jobs.record(claim, STEPS[:1])
    said = waiting.stdout if flags else waiting.stderr
    assert said is not None
    while "RATING_FIT" not in (line := said.readline()) and "fit the rating head" not in line:
        assert line  # it has ended
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert f"mfserve jobs {claim.job_id} --wait" in err.splitlines()[-1]
    assert "Traceback" not in out + err
    assert client.get_job(claim.job_id).state.value == "RUNNING"
    client.cancel_job(claim.job_id)
    registry.jobs.cancelled(claim)


@pytest.mark.parametrize("flags", [(), ("--json",)], ids=["table", "json"])
def test_a_job_that_nobody_takes_is_told_of(start: Start, client: Client, flags: tuple[str, ...]) -> None:
    waiting = start("train", "untaken", "movielens-100k", "--wait", *flags)
    assert waiting.stderr is not None
    while not (line := waiting.stderr.readline()).startswith("Still waiting: no trainer has taken the job."):
        assert line  # it has ended
    (job,) = client.list_jobs(model="untaken", states=["pending"])
    job.cancel()
    out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 1
    assert "Still waiting" not in out + err


@pytest.mark.parametrize("json", [False, True])
def test_an_outage_that_is_too_long_says_that_the_job_is_kept(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], json: bool
) -> None:
    job = client.train("away", dataset="movielens-100k")

    def lost() -> Iterator[Progress]:
        raise UnavailableError("The registry's database does not answer; try again.")

    monkeypatch.setattr(job, "watch", lost)
    with pytest.raises(UnavailableError):
        wait_for(client, job, json=json)
    kept = f"The job is kept: mfserve jobs {job.job_id} --wait follows it again when that is over."
    assert capsys.readouterr().err.splitlines()[-1] == kept
    job.cancel()


def test_a_job_of_before_is_followed_by_its_id(start: Start, run: Run, registry: Registry) -> None:
    queued = run("train", "later", "movielens-100k")
    assert queued.code == 0
    claim = claimed(registry)
    assert claim.job_id in queued.out
    waiting = start("jobs", claim.job_id, "--wait")
    registry.jobs.record(claim, STEPS)
    version = publish(registry, claim)
    out, err = waiting.communicate(timeout=30)
    assert waiting.returncode == 0, err
    assert f"later version {version}" in out
    again = run("jobs", claim.job_id, "--wait", "--json")
    assert json.loads(again.out.splitlines()[-1])["version"] == version


def test_a_running_job_shows_where_it_is(run: Run, registry: Registry) -> None:
    run("train", "shown", "movielens-100k")
    claim = claimed(registry)
    registry.jobs.record(claim, STEPS)
    listed, shown = run("jobs", "--model", "shown").out, run("jobs", claim.job_id).out
    assert "RUNNING: fit the rating head" in listed
    assert "fit the rating head: epoch 1/2  loss 0.5000" in shown
    registry.jobs.fail(claim, "TRAINING_DIVERGED", "the loss is not finite", retry=False)
    assert "TRAINING_DIVERGED: the loss is not finite" in run("jobs", claim.job_id).out
