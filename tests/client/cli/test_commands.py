"""Every command against a real server: what a person sees, what a program reads."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mfserve import Client
from mfserve.cli._output import chosen
from mfserve.v1 import model_service_pb2 as pb
from mfserve_registry import Registry
from mfserve_registry.shadowing import AnswerSums, Pair, ShadowSums, Sums
from tests.client.cli.conftest import Run
from tests.client.services import VERSION, Served
from tests.integration.service import RunningService
from tests.registry.snapshot.samples import random_content
from tests.server.samples import FACTS, publish


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


def the_same(told: Any, found: Any) -> bool:
    """Whether a JSON document says all that an answer of the SDK says, field by field."""
    if is_dataclass(found):
        names = [field.name for field in fields(found)]
        kind = chosen(found)  # an option's class is its name in JSON
        same = all(the_same(told[name], getattr(found, name)) for name in names)
        return set(told) == {*names, *kind} and same and kind.items() <= told.items()
    if isinstance(found, Mapping):
        return set(told) == set(found) and all(the_same(told[key], found[key]) for key in found)
    if isinstance(found, list | tuple):
        return len(told) == len(found) and all(map(the_same, told, found))
    if isinstance(found, datetime):
        return datetime.fromisoformat(told) == found
    return bool(told == found)


def test_json_says_all_that_the_sdk_does(run: Run, client: Client, user: str, item: str) -> None:
    queued = client.train("said", dataset="movielens-100k", request_id="said")
    client.cancel_job(queued.job_id)
    answers: dict[str, object] = {
        f"recommend movies {user}": client.recommend("movies", user),
        "recommend movies nobody": client.recommend("movies", "nobody"),
        f"recommend movies --history {item}=4": client.recommend("movies", history={item: 4.0}),
        f"predict movies {user} {item}": client.predict_rating("movies", user, item),
        f"predict movies nobody {item}": client.predict_rating("movies", "nobody", item),
        "predict movies nobody nothing": client.predict_rating("movies", "nobody", "nothing"),
        f"similar movies {item} --alias latest": client.similar_items("movies", item, alias="latest"),
        "models": list(client.list_models()),
        "models movies": client.get_model("movies"),
        "versions movies": list(client.list_versions("movies")),
        "versions movies 2": client.get_version("movies", 2),
        "versions movies production": client.get_version("movies", alias="production"),
        "compare movies 1 2 --sample 5": client.compare_versions("movies", 1, 2, sample_size=5),
        "alias movies": client.get_model("movies").aliases,
        "alias-history movies": list(client.list_alias_events("movies", "production")),
        "alias-history movies --at 2999-01-01": client.alias_at(
            "movies", "production", datetime(2999, 1, 1, tzinfo=UTC)
        ),
        "alias-history movies --at 1999-01-01": None,
        "jobs": [job.info for job in client.list_jobs()],
        "jobs --model said --state cancelled": [client.get_job(queued.job_id).info],
        f"jobs {queued.job_id}": client.get_job(queued.job_id).info,
    }
    for arguments, found in answers.items():
        assert the_same(document(run, *arguments.split()), found), arguments
    told, status = document(run, "status"), client.serving_status()
    assert [server["server_id"] for server in told["servers"]] == [
        server.server_id for server in status.servers
    ]


def test_unknown_users_and_items_are_no_errors_and_are_named(run: Run, user: str) -> None:
    assert "basis POPULARITY" in run("recommend", "movies", "nobody").out
    assert "basis USER_MEAN" in run("predict", "movies", user, "nothing").out
    assert "basis GLOBAL_MEAN" in run("predict", "movies", "nobody", "nothing").out


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
    assert run("versions", "movies", "1", "--artifact", "training_curve.svg", "--output", "-").out == "<svg/>"
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


def test_two_versions_are_compared(run: Run, client: Client, registry: Registry) -> None:
    sample = client.compare_versions("movies", 1, 2).sample
    assert sample is not None
    assert sample.overlap is not None
    without = " ".join(run("compare", "movies", "1", "2").out.split())
    assert "movies: version 2 beside version 1" in without
    assert "ranking head │ nDCG@10 │ 0.4000 │ 0.4000 │ +0.0000" in without
    assert (
        f"share │ {sample.overlap.mean:.4f} │ {sample.overlap.stddev:.4f} │ {sample.overlap.count}" in without
    )
    assert "Neither has been a shadow beside the other." in without
    answers = AnswerSums(overlap=Sums.of(0.25, 0.75), added_seconds=Sums.of(0.002))
    registry.shadowing.put("a", {Pair("movies", 1, 2): ShadowSums(answers, dropped=1234, failed=5)})
    shadowed = " ".join(run("compare", "movies", "1", "2", "--sample", "0").out.split())
    assert "sampled" not in shadowed
    assert "share │ 0.5000 │ 0.2500 │ 2" in shadowed
    assert "ms that the other took more │ 2.0000 │ 0.0000 │ 1" in shadowed
    assert "1,234 calls were dropped, 5 failed." in shadowed
    named = run("compare", "movies", "production", "latest", "--sample", "0").out
    assert " ".join(named.split()) == shadowed
    refused = run("compare", "movies", "1", "9")
    assert (refused.code, refused.err.count("\n")) == (1, 1)
    assert "no version 9" in refused.err


def test_what_one_of_two_versions_lacks_is_shown(run: Run, registry: Registry) -> None:
    metrics = FACTS["metrics"]
    headless = {**FACTS, "metrics": {**metrics, "ranking": metrics["ranking"][1:]}}
    publish(registry, "bare", content=replace(random_content(1), facts=FACTS))
    publish(registry, "bare", content=replace(random_content(2), facts=headless))
    out = " ".join(run("compare", "bare", "1", "2", "--sample", "0").out.split())
    assert "ranking head │ nDCG@10 │ 0.4000 │ – │ –" in out
    assert "most popular │ nDCG@10 │ 0.2000 │ 0.2000 │ +0.0000" in out
    back = " ".join(run("compare", "bare", "2", "1", "--sample", "0").out.split())
    assert "ranking head │ nDCG@10 │ – │ 0.4000 │ –" in back


def test_an_alias_is_split_rolled_back_and_deleted(run: Run, client: Client) -> None:
    assert run("alias", "movies", "canary", "1", "--actor", "ann").code == 0
    split = run("alias", "movies", "canary", "--split", "1=10", "--split", "2=90", "--actor", "")
    assert split.out == "canary → version 2 (90 % of the users) + 1 (10 % of the users) (revision 2)\n"
    shadowed = document(
        run, "alias", "movies", "canary", "1", "--shadow", "2=0.25", "--expected-revision", "2"
    )
    assert shadowed["shadow"] == {"version": 2, "share": 0.25}
    assert "canary → 1 + shadow 2 (25 % of the users)" in " ".join(run("models").out.split())
    assert "shadow 2 (25 % of the users)" in run("alias", "movies").out
    assert document(run, "rollback", "movies", "canary")["targets"] == [
        {"version": 2, "weight": 90},
        {"version": 1, "weight": 10},
    ]
    assert (
        run("rollback", "movies", "canary", "--expected-revision", "4").out
        == "canary → version 1 (revision 5)\n"
    )
    assert run("alias", "movies", "canary", "--delete", "--reason", "done").out == "canary deleted\n"
    history = document(run, "alias-history", "movies", "canary")
    assert all(one["actor"] for one in history)
    assert [(one["revision"], one["action"], one["restored_revision"]) for one in history] == [
        (6, "DELETED", None),
        (5, "ROLLED_BACK", 1),
        (4, "ROLLED_BACK", 2),
        (3, "SET", None),
        (2, "SET", None),
        (1, "SET", None),
    ]
    assert history[-1]["actor"] == "ann"
    assert len(document(run, "alias-history", "movies", "canary", "--limit", "2")) == 2
    shown = run("alias-history", "movies", "canary").out
    assert "ROLLED_BACK to revision 2" in " ".join(shown.split())
    at = history[2]["time"]
    assert document(run, "alias-history", "movies", "canary", "--at", at) == history[2]
    assert "at" in run("alias-history", "movies", "canary", "--at", at).out
    assert "had no alias canary" in run("alias-history", "movies", "canary", "--at", "2001-02-03").out
    to_come = run("alias-history", "movies", "production", "--at", "2999-01-01")
    assert "is yet to come: this is what holds now." in to_come.err
    assert "production at 2999-01-01" in to_come.out
    assert run("alias-history", "movies", "production", "--at", at).err == ""
    assert document(run, "alias", "movies", "canary", "2", "--actor", "bob")["revision"] == 7
    assert document(run, "alias", "movies", "canary", "--delete")["deleted"]


def test_versions_and_models_are_deleted(run: Run, registry: Registry) -> None:
    for seed in (3, 4):
        publish(registry, "spare", seed=seed)
    assert run("delete-version", "spare", "2", "--yes").out == "spare version 2 deleted\n"
    assert [one["version"] for one in document(run, "versions", "spare")] == [1]
    assert run("alias", "spare", "production", "--delete").code == 0
    assert document(run, "delete-version", "spare", "1", "--yes")["deleted"]
    assert run("delete-model", "spare", "--yes").out == "spare deleted\n"
    publish(registry, "spare", seed=5)
    assert run("alias", "spare", "production", "--delete").code == 0
    assert document(run, "delete-model", "spare", "--yes") == {"model": "spare", "deleted": True}


def test_status(run: Run, service: RunningService) -> None:
    told = document(run, "status")
    assert [server["pid"] for server in told["servers"]] == list(service.workers)
    assert "AVAILABLE" in run("status").out


def test_status_tells_of_streams(run: Run) -> None:
    held = pb.ServingVersion(served_version=VERSION, state=pb.SERVING_STATE_AVAILABLE, streams=2)
    status = pb.GetServingStatusResponse(servers=[pb.ServerStatus(host="h", pid=7, versions=[held])])
    server = Served({"GetServingStatus": lambda request, context: status})
    assert "AVAILABLE, 2 streaming" in run("status", "--address", server.address).out
    server.stop()


def test_status_tells_of_a_registry_that_is_away(run: Run) -> None:
    contact = pb.RegistryContact(message="It is [away].", lost_time=Timestamp(seconds=1_700_000_000))
    status = pb.GetServingStatusResponse(registry=contact)
    server = Served({"GetServingStatus": lambda request, context: status})
    out = run("status", "--address", server.address).out
    assert re.search(r"has not answered it since 2023-11-1\d \d\d:\d\d:20: It is \[away\]\.", out)
    server.stop()


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
        assert ("biases" in stored) == ("intercept" in stored) == (head == "rating")
        if head == "rating":
            assert expected.biases is not None
            assert stored["biases"].tolist() == list(expected.biases)
            assert stored["intercept"] == expected.intercept
    assert (
        run("embeddings", "movies", "--side", "user", "--head", head, "-o", str(tmp_path / "e.parquet")).code
        == 0
    )
    table = pq.read_table(tmp_path / "e.parquet")
    assert table["id"].to_pylist() == list(expected.ids)
    assert np.array_equal(np.stack(table["values"].to_numpy()), np.asarray(expected.values))
    facts = table.schema.metadata
    assert (facts[b"version"], facts[b"head"]) == (b"1", head.encode())
    assert (b"intercept" in facts) == ("bias" in table.column_names) == (head == "rating")
    if head == "rating":
        assert expected.biases is not None
        assert table["bias"].to_pylist() == list(expected.biases)
        assert float(facts[b"intercept"]) == expected.intercept


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


def test_versions_show_the_quality_of_what_recommends(run: Run, registry: Registry) -> None:
    """That is the rating head where there is no ranking head. What was not measured is told as such."""
    rated = {**FACTS["metrics"], "ranking": [{**FACTS["metrics"]["ranking"][0], "ranker": "RATING_HEAD"}]}
    clicked = {**FACTS["metrics"], "rating": [], "ranking": FACTS["metrics"]["ranking"]}
    for seed, metrics in enumerate((rated, clicked, None), 5):
        publish(registry, "heads", content=replace(random_content(seed), facts={**FACTS, "metrics": metrics}))
    rows = [
        [cell.strip() for cell in line.split("│")]
        for line in run("versions", "heads").out.splitlines()
        if "│" in line
    ]
    assert [(row[0], row[4], row[5]) for row in rows] == [
        ("3", "–", "–"),
        ("2", "–", "0.4000"),
        ("1", "0.8100", "0.4000"),
    ]
    assert run("versions", "heads").out.endswith(
        "– not measured: nothing was held out, or no ratings are predicted\n"
    )
    assert "not measured" not in run("versions", "movies").out
