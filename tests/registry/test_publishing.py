"""Publishing: all of a version becomes visible, or nothing does."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from sqlalchemy import select

from mfserve_registry import Artifact, JobState, Registry
from mfserve_registry.errors import (
    DamagedSnapshot,
    FailedPrecondition,
    InvalidArgument,
    LeaseLost,
    NotFound,
    UnsoundSnapshot,
)
from mfserve_registry.snapshot import Snapshot
from mfserve_registry.tables import alias_events
from tests.places import Place
from tests.registry.helpers import EPOCH, LEASE, Clock, claimed, publish, request, spoil, stage


def test_a_first_version(registry: Registry) -> None:
    claim = claimed(registry, request())
    staged, digest = stage(registry)
    version = registry.publish(
        claim,
        staged,
        digest,
        [Artifact("curve.svg", "image/svg+xml", b"<svg/>")],
        metrics={"rmse": 0.91, "by_head": {"ranking": {"ndcg_at_10": 0.3}}},
        facts={"dataset": "movielens-100k"},
    )
    assert (version.model, version.version, version.digest) == ("movies", 1, digest)
    assert (version.job_id, version.attempt, version.created_at) == (claim.job_id, 1, EPOCH)
    assert version.metrics == {"rmse": 0.91, "by_head": {"ranking": {"ndcg_at_10": 0.3}}}
    assert version.facts == {"dataset": "movielens-100k"}
    assert version.aliases == ("production",)
    assert [file.name for file in version.artifacts] == ["curve.svg"]
    folder = registry.snapshots.path(digest)
    assert version.size_bytes == sum(path.stat().st_size for path in folder.iterdir())
    assert Snapshot.open(folder, digest).digest == digest
    assert not staged.exists()
    job = registry.jobs.get(claim.job_id)
    assert (job.state, job.version, job.finished_at) == (JobState.SUCCEEDED, 1, EPOCH)
    assert registry.models.get_version("movies", 1) == version


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_no_number_that_is_not_finite_becomes_a_version(registry: Registry, value: float) -> None:
    """A writer with a defect: the checksums are right, and are those of the digest."""
    claim = claimed(registry, request())
    staged, _ = stage(registry)
    digest = spoil(staged, "ranking_item_factors", value)
    with pytest.raises(UnsoundSnapshot, match=r"ranking_item_factors\.npy holds NaN"):
        registry.publish(claim, staged, digest)
    assert registry.models.list().items == []
    assert not registry.snapshots.contains(digest)
    assert registry.publish(claim, *stage(registry)).version == 1


def test_later_versions_leave_production_alone(registry: Registry) -> None:
    publish(registry, "a", seed=0)
    assert publish(registry, "b", seed=1).aliases == ()
    assert registry.models.resolve("movies").version == 1


def test_promotion(registry: Registry) -> None:
    publish(registry, "a", seed=0)
    assert publish(registry, "b", seed=1, promote_to_alias="production").aliases == ("production",)
    assert publish(registry, "c", seed=2, promote_to_alias="candidate").aliases == ("candidate",)
    assert registry.models.resolve("movies").version == 2
    assert registry.models.resolve("movies", alias="candidate").version == 3
    assert registry.aliases.get("movies", "production").revision == 2


@pytest.mark.parametrize(("promote", "revisions"), [("production", [1]), ("candidate", [1, 1])])
def test_promotion_of_a_first_version(registry: Registry, promote: str, revisions: list[int]) -> None:
    publish(registry, promote_to_alias=promote)
    aliases = registry.aliases.list("movies")
    assert [alias.revision for alias in aliases] == revisions
    assert {alias.targets[0].version for alias in aliases} == {1}


def test_what_moved_is_written_down(place: Place, registry: Registry) -> None:
    first = publish(registry, "a", seed=0, promote_to_alias="candidate")
    second = publish(registry, "b", seed=1, promote_to_alias="production")
    written = ("alias", "revision", "action", "from_targets", "to_targets", "actor")
    query = select(*(alias_events.c[name] for name in written)).order_by(alias_events.c.number)
    assert place.rows(query) == [
        ("production", 1, "FIRST_VERSION", [], [[1, 1]], f"job {first.job_id}"),
        ("candidate", 1, "PROMOTED", [], [[1, 1]], f"job {first.job_id}"),
        ("production", 2, "PROMOTED", [[1, 1]], [[2, 1]], f"job {second.job_id}"),
    ]


def test_the_same_snapshot_twice_is_two_versions_of_one_digest(registry: Registry) -> None:
    first, second = publish(registry, "a"), publish(registry, "b")
    assert first.digest == second.digest
    assert (first.version, second.version) == (1, 2)
    assert publish(registry, "c", "books").version == 1


def test_files_of_a_publisher_that_died_before_the_transaction_do_no_harm(registry: Registry) -> None:
    registry.collect()  # claims the store, as that publisher had done
    staged, digest = stage(registry)
    registry.snapshots.commit(staged, digest)
    registry.artifacts.keep([Artifact("a.txt", "text/plain", b"a")])
    assert registry.models.list().items == []
    version = publish(registry, artifacts=[Artifact("a.txt", "text/plain", b"a")])
    assert version.digest == digest
    assert Snapshot.open(registry.snapshots.path(digest), digest).digest == digest


def test_a_claim_publishes_once(registry: Registry) -> None:
    claim = claimed(registry, request())
    registry.publish(claim, *stage(registry))
    with pytest.raises(LeaseLost):
        registry.publish(claim, *stage(registry, 1))
    assert [version.version for version in registry.models.list_versions("movies").items] == [1]


def test_only_the_latest_attempt_publishes(registry: Registry, clock: Clock) -> None:
    slow = claimed(registry, request(), "slow")
    clock.advance(LEASE)
    quick = registry.jobs.claim("quick", LEASE)
    assert quick is not None
    with pytest.raises(LeaseLost):
        registry.publish(slow, *stage(registry))
    assert registry.publish(quick, *stage(registry)).attempt == 2


def test_a_lease_that_ends_while_the_files_are_written(registry: Registry, clock: Clock) -> None:
    """The check that counts is the one in the transaction: here time passes after the first check."""
    claim = claimed(registry, request())

    class SlowStore:
        def commit(self, staged: Path, digest: str) -> None:
            commit(staged, digest)
            clock.advance(LEASE)

    store = registry.snapshots
    commit = store.commit
    store.commit = SlowStore().commit  # type: ignore[method-assign]  # a pause of the disk, in this one object
    with pytest.raises(LeaseLost):
        registry.publish(claim, *stage(registry))
    assert registry.models.list().items == []
    assert registry.jobs.get(claim.job_id).state is JobState.RUNNING


def test_a_cancel_that_is_first_wins(registry: Registry) -> None:
    claim = claimed(registry, request())
    registry.jobs.cancel(claim.job_id)
    staged, digest = stage(registry)
    with pytest.raises(FailedPrecondition) as caught:
        registry.publish(claim, staged, digest)
    assert caught.value.reason == "JOB_CANCELLED"
    assert not registry.snapshots.contains(digest)
    assert registry.jobs.cancelled(claim).state is JobState.CANCELLED
    with pytest.raises(NotFound):
        registry.models.get("movies")


def test_bad_files_and_facts_publish_nothing(registry: Registry) -> None:
    claim = claimed(registry, request())
    staged, digest = stage(registry)
    twice = [Artifact("a", "text/plain", b"1"), Artifact("a", "text/plain", b"2")]
    for files in (twice, [Artifact("../a", "text/plain", b"")], [Artifact("a", "text", b"")]):
        with pytest.raises(InvalidArgument):
            registry.publish(claim, staged, digest, files)
    for metrics in ({"rmse": math.nan}, {"rmse": object()}):
        with pytest.raises(InvalidArgument) as caught:
            registry.publish(claim, staged, digest, metrics=metrics)
        assert caught.value.field == "metrics"
    with pytest.raises(DamagedSnapshot):
        registry.publish(claim, staged, "0" * 64)
    assert registry.models.list().items == []
    assert registry.publish(claim, staged, digest).version == 1
