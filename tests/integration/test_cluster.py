"""Several servers and trainers on one PostgreSQL and one bucket: what they promise together, also while it is away."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from statistics import median

import pytest

from mfserve import Client, Ials, Keras, NoRanking, PromotionGates
from mfserve.errors import AbortedError, UnavailableError
from mfserve.types import AliasAction, ModelVersion, ServingState, Upload
from mfserve_registry import JobState, Registry
from tests.backends import bucket, place_of, postgres
from tests.integration.cluster import TRAINERS, Cluster, running_cluster
from tests.integration.load import asked_by_many
from tests.integration.samples import QUICK, USERS, ratings
from tests.trainer.trainers import finished, fitting
from tests.waiting import eventually

__all__ = ["bucket", "postgres"]

MODEL = "shop"
TRAINING_SECONDS = 120.0
SLOW = Keras(factors=8, epochs=30, batch_size=256)
"""A few seconds, and epochs to wait for."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with (
        place_of("postgres-s3", folder / "test", request) as place,
        running_cluster(folder, place, request.getfixturevalue("postgres")) as cluster,
    ):
        yield cluster


@pytest.fixture(scope="module")
def registry(cluster: Cluster) -> Iterator[Registry]:
    """The cluster's, as a further machine opens it."""
    with cluster.place.open() as registry:
        yield registry


@pytest.fixture(scope="module")
def upload(cluster: Cluster) -> Upload:
    return cluster.clients[0].upload_dataset(ratings(1))


@pytest.fixture(scope="module")
def versions(cluster: Cluster, upload: Upload) -> list[ModelVersion]:
    """Two of one model that answer differently, trained at the same time; the first one is in production.

    The first server has been asked for both.
    """
    jobs = [
        client.train(MODEL, dataset=upload, rating=QUICK, ranking=Ials(factors=factors))
        for client, factors in zip(cluster.clients, (4, 8), strict=False)
    ]
    found = [job.result(timeout=TRAINING_SECONDS) for job in jobs]
    for version in found:
        cluster.clients[0].recommend(MODEL, USERS[0], version=version.version)
    return sorted(found, key=lambda version: version.version)


def revision(client: Client, alias: str = "production") -> int:
    found = [each.revision for each in client.get_model(MODEL).aliases if each.alias == alias]
    return found[0] if found else 0


def moved(client: Client, version: int) -> bool:
    """Whether the registry takes a move of ``production``."""
    with suppress(UnavailableError):
        client.set_alias(MODEL, "production", version, expected_revision=revision(client))
        return True
    return False


def tells_of_all_since(client: Client, cluster: Cluster, since: datetime) -> bool:
    """Whether the server knows of every process that it was heard of since then."""
    heard = {
        server.pid
        for server in client.serving_status().servers
        if server.heartbeat_time is not None and server.heartbeat_time > since
    }
    return heard == {worker for server in cluster.servers for worker in server.workers}


def test_homes_have_copies_and_nothing_that_others_need(
    cluster: Cluster, versions: list[ModelVersion]
) -> None:
    for version in versions:
        for client in cluster.clients:
            served = client.recommend(MODEL, USERS[0], version=version.version).served_version
            assert served.digest == version.digest
    for home in (server.home for server in cluster.servers):
        assert {path.name for path in (home / "cache" / "copies" / "snapshots").iterdir()} >= {
            version.digest for version in versions
        }
    for home in cluster.homes:
        assert not {"registry.db", "snapshots", "uploads"} & {path.name for path in home.iterdir()}


def test_every_server_tells_of_all(cluster: Cluster, versions: list[ModelVersion]) -> None:
    everybody = {worker for server in cluster.servers for worker in server.workers}
    for client in cluster.clients:

        def told(client: Client = client) -> bool:
            """Each process, and that it answers from the version that is in production."""
            return everybody == {
                server.pid
                for server in client.serving_status().servers
                for held in server.versions
                if held.state is ServingState.AVAILABLE and held.aliases == ("production",)
            }

        eventually(told, "all serving leases are recorded")


def test_one_request_id_makes_one_job_through_whatever_servers(cluster: Cluster, upload: Upload) -> None:
    def train(client: Client) -> str:
        job = client.train("once", dataset=upload, rating=QUICK, ranking=NoRanking(), request_id="only-once")
        return job.job_id

    with ThreadPoolExecutor(50) as pool:
        job_ids = set(pool.map(train, islice(cycle(cluster.clients), 50)))
    assert len(job_ids) == 1
    for client in cluster.clients:
        assert [job.job_id for job in client.list_jobs(model="once")] == list(job_ids)
    assert cluster.clients[0].get_job(job_ids.pop()).result(timeout=TRAINING_SECONDS).version == 1


def test_of_two_moves_from_one_revision_one_wins(cluster: Cluster, versions: list[ModelVersion]) -> None:
    for start in range(10):
        outcomes: dict[str, object] = {}

        def contest(client: Client, start: int = start, outcomes: dict[str, object] = outcomes) -> None:
            try:
                client.set_alias(MODEL, "contested", 1 + start % 2, expected_revision=start)
            except AbortedError as lost:
                outcomes["lost"] = lost.reason, lost.metadata["revision"]
            else:
                outcomes["won"] = True

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(contest, cluster.clients[:2]))
        assert outcomes == {"won": True, "lost": ("REVISION_MISMATCH", str(start + 1))}
        assert {revision(client, "contested") for client in cluster.clients} == {start + 1}


def test_trainer_that_stood_still_past_its_lease_publishes_and_moves_nothing(
    cluster: Cluster, registry: Registry, versions: list[ModelVersion], upload: Upload
) -> None:
    job_id = (
        cluster.clients[0]
        .train(
            MODEL,
            dataset=upload,
            rating=SLOW,
            refit=False,
            promote_to_alias="next",
            gates=PromotionGates(off=True),
        )
        .job_id
    )
    paused = fitting(registry, job_id)
    assert paused.worker is not None
    trainer = cluster.trainer_of(paused.worker)
    trainer.process.send_signal(signal.SIGSTOP)
    eventually(lambda: registry.jobs.get(job_id).attempt > paused.attempt, "the other trainer has the job")
    # Both go on now, each with a fit of the same job.
    trainer.process.send_signal(signal.SIGCONT)
    job = finished(registry, job_id)
    eventually(lambda: "lost the lease" in trainer.log.read_text(), "the trainer has noticed")
    assert (job.state, job.attempt) == (JobState.SUCCEEDED, paused.attempt + 1)
    published = list(cluster.clients[1].list_versions(MODEL))
    assert [version.version for version in published if version.job_id == job_id] == [job.version]
    events = list(cluster.clients[2].list_alias_events(MODEL, "next"))
    assert [(event.action, event.after.targets[0].version) for event in events] == [
        (AliasAction.PROMOTED, job.version)
    ]


@pytest.mark.parametrize(
    "moves", [40, pytest.param(200, marks=[pytest.mark.storm, pytest.mark.timeout(1800)])]
)
def test_moves_under_load_fail_no_call_and_mix_no_answer(
    cluster: Cluster, versions: list[ModelVersion], moves: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """As quickly as the registry takes them, so that servers pass over some; the storm awaits each on every server."""
    first, second = (version.version for version in versions)
    seconds: list[float] = []
    with asked_by_many(MODEL, cluster.addresses) as load:
        assert moved(cluster.clients[0], first)
        load.until_answered_by(first, cluster.addresses)
        at = revision(cluster.clients[0])
        for number, client in enumerate(islice(cycle(cluster.clients), moves)):
            version = first if number % 2 else second
            at = client.set_alias(MODEL, "production", version, expected_revision=at).revision
            if moves > 40:
                seconds += until_served(cluster, version)
        client.set_alias(MODEL, "production", second, expected_revision=at)
        load.until_answered_by(second, cluster.addresses)
    assert load.versions == {
        (address, version) for address in cluster.addresses for version in (first, second)
    }
    load.check({version.version: cluster.oracle(version.digest) for version in versions})
    if seconds:
        with capsys.disabled():
            sys.stdout.write(
                f"\n{moves} moves, {len(load.answers)} answers: a server answered from what an alias was moved to "
                f"after {median(seconds):.2f} s (median), at most {max(seconds):.2f} s\n"
            )


def until_served(cluster: Cluster, version: int) -> list[float]:
    """Seconds until each server answers from the version."""
    start = time.monotonic()

    def wait(client: Client) -> float:
        eventually(
            lambda: client.recommend(MODEL, USERS[0]).served_version.version == version, "the server follows"
        )
        return time.monotonic() - start

    with ThreadPoolExecutor(len(cluster.clients)) as pool:
        return list(pool.map(wait, cluster.clients))


@pytest.mark.parametrize(
    "seconds", [0.0, pytest.param(60.0, marks=[pytest.mark.storm, pytest.mark.timeout(600)])]
)
def test_without_its_database_the_cluster_answers_and_then_goes_on(
    cluster: Cluster, versions: list[ModelVersion], upload: Upload, seconds: float
) -> None:
    """Without it for so many seconds, and until every server has said what it cannot do."""
    job_id = versions[0].job_id

    def refuses(client: Client) -> None:
        calls: list[Callable[[], object]] = [
            lambda: client.train("meanwhile", dataset=upload, rating=QUICK),
            lambda: client.get_job(job_id),
            lambda: client.set_alias(MODEL, "production", 1, expected_revision=1),
            lambda: client.rollback_alias(MODEL, "production"),
        ]
        for call in calls:
            with pytest.raises(UnavailableError) as refused:
                call()
            assert (refused.value.reason, refused.value.retry_seconds) == ("UNAVAILABLE", 1.0)

    with asked_by_many(MODEL, cluster.addresses) as load, ThreadPoolExecutor(len(cluster.clients)) as pool:
        with cluster.postgres.stopped():
            until = time.monotonic() + seconds
            while True:
                list(pool.map(refuses, cluster.clients))
                load.until_more(50, cluster.addresses)
                if time.monotonic() >= until:
                    break
        for client in cluster.clients:
            eventually(partial(moved, client, versions[0].version), "aliases can be moved")
        load.until_answered_by(versions[0].version, cluster.addresses)
    load.check({version.version: cluster.oracle(version.digest) for version in versions})
    since = datetime.now(UTC)
    jobs = [
        client.train("after", dataset=upload, rating=QUICK, ranking=NoRanking())
        for client in cluster.clients[:TRAINERS]
    ]
    assert {job.result(timeout=TRAINING_SECONDS).version for job in jobs} == {1, 2}
    for client in cluster.clients:
        eventually(partial(tells_of_all_since, client, cluster, since), "heartbeats return")
