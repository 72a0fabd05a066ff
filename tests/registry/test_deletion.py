"""Versions and models go where nobody needs them, and their numbers never come again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest

from mfserve_registry import (
    AliasShadow,
    AliasTarget,
    Artifact,
    Registry,
    ServerInfo,
    ServingLease,
    ServingState,
)
from mfserve_registry.errors import FailedPrecondition, NotFound, RegistryError
from tests.registry.helpers import EPOCH, LEASE, Clock, claimed, publish, request, stage

TTL = timedelta(seconds=10)
DIGEST = "d" * 64


@pytest.fixture
def movies(registry: Registry) -> Registry:
    """Three versions of movies, production at 1."""
    for seed in range(3):
        publish(registry, f"r{seed}", seed=seed, artifacts=[Artifact("a.txt", "text/plain", b"a")])
    return registry


def held(registry: Registry, version: int, *aliases: str, streams: int = 0, server: str = "a") -> None:
    """Lets a server process tell that it holds the version."""
    registry.serving.register(ServerInfo(server, "host", 42, 1, "127.0.0.1:50051", "0.1.0", EPOCH), TTL)
    lease = ServingLease("movies", version, DIGEST, ServingState.AVAILABLE, aliases=aliases, streams=streams)
    registry.serving.heartbeat(server, [lease], TTL)
    assert registry.serving.list()[-1].leases == (lease,)


def refusal(call: Callable[[], object]) -> FailedPrecondition:
    with pytest.raises(FailedPrecondition) as caught:
        call()
    return caught.value


def test_a_deleted_version_is_gone_and_its_number_does_not_come_again(movies: Registry) -> None:
    movies.models.delete_version("movies", 3)
    assert [version.version for version in movies.models.list_versions("movies").items] == [2, 1]
    assert movies.models.resolve("movies", alias="latest").version == 2
    assert movies.models.digests([("movies", 3), ("movies", 2), ("movies", 9)]) == {
        ("movies", 3): None,
        ("movies", 2): movies.models.get_version("movies", 2).digest,
    }
    for call in (
        lambda: movies.models.get_version("movies", 3),
        lambda: movies.models.resolve("movies", version=3),
        lambda: movies.artifacts.read("movies", 3, "a.txt"),
        lambda: movies.aliases.set("movies", "production", 3, expected_revision=1),
        lambda: movies.models.delete_version("movies", 3),
    ):
        with pytest.raises(NotFound) as caught:
            call()
        assert caught.value.reason == "VERSION_NOT_FOUND"
    assert publish(movies, "again").version == 4


def test_what_an_alias_names_stays(movies: Registry) -> None:
    movies.aliases.set(
        "movies",
        "canary",
        targets=(AliasTarget(1, 9), AliasTarget(2, 1)),
        shadow=AliasShadow(3, 0.5),
        expected_revision=0,
    )
    for version, aliases in ((1, "canary, production"), (2, "canary"), (3, "canary")):
        error = refusal(partial(movies.models.delete_version, "movies", version))
        assert (error.reason, error.field) == ("VERSION_IN_USE", "version")
        assert error.metadata == {"model": "movies", "version": str(version), "aliases": aliases}
        assert aliases in error.message
    movies.aliases.delete("movies", "canary", expected_revision=1)
    movies.models.delete_version("movies", 3)


def test_what_a_server_still_answers_from_stays(movies: Registry, clock: Clock) -> None:
    held(movies, 1, "production")
    movies.aliases.set("movies", "production", 2, expected_revision=1)
    error = refusal(lambda: movies.models.delete_version("movies", 1))
    assert error.metadata == {"model": "movies", "version": "1", "servers": "host:42"}
    clock.advance(TTL)
    movies.models.delete_version("movies", 1)


def test_what_a_server_streams_from_stays(movies: Registry) -> None:
    held(movies, 3, streams=2)
    assert refusal(lambda: movies.models.delete_version("movies", 3)).metadata["servers"] == "host:42"
    movies.aliases.delete("movies", "production", expected_revision=1)
    assert refusal(lambda: movies.models.delete("movies")).metadata == {
        "model": "movies",
        "servers": "host:42",
    }
    held(movies, 3)
    movies.models.delete_version("movies", 3)


def test_what_was_asked_for_once_or_for_an_alias_that_is_gone_holds_up_nothing(movies: Registry) -> None:
    held(movies, 3)
    movies.models.delete_version("movies", 3)
    held(movies, 1, "production")
    movies.aliases.delete("movies", "production", expected_revision=1)
    movies.models.delete_version("movies", 1)


def test_a_model_goes_once_nothing_names_it(movies: Registry) -> None:
    movies.jobs.submit(request("waiting"))
    error = refusal(lambda: movies.models.delete("movies"))
    assert (error.reason, error.field) == ("MODEL_IN_USE", "model")
    assert error.metadata["aliases"] == "production"
    assert error.metadata["jobs"] == movies.jobs.list().items[0].job_id
    movies.aliases.delete("movies", "production", expected_revision=1)
    claim = movies.jobs.claim("w", LEASE)
    assert claim is not None
    assert refusal(lambda: movies.models.delete("movies")).metadata == {
        "model": "movies",
        "jobs": claim.job_id,
    }
    movies.jobs.fail(claim, "X", "x", retry=False)
    movies.models.delete("movies")
    assert movies.models.list().items == []
    numbers = [("movies", 1), ("movies", 2)]
    assert movies.models.digests(numbers) == dict.fromkeys(numbers)
    for call in (movies.models.get, movies.models.delete, movies.models.list_versions):
        with pytest.raises(NotFound) as caught:
            call("movies")
        assert caught.value.reason == "MODEL_NOT_FOUND"
    assert len(movies.aliases.events("movies", "production").items) == 2, "the history stays"


def test_a_deleted_name_may_be_trained_again(movies: Registry) -> None:
    movies.aliases.delete("movies", "production", expected_revision=1)
    movies.models.delete("movies")
    assert publish(movies, "again").version == 4
    assert [version.version for version in movies.models.list_versions("movies").items] == [4]
    production = movies.aliases.get("movies", "production")
    assert (production.targets, production.revision) == ((AliasTarget(4, 1),), 3)
    error = refusal(partial(movies.aliases.roll_back, "movies", "production"))
    assert error.metadata["version"] == "1"


def outcome(call: Callable[[], object]) -> str:
    try:
        call()
    except RegistryError as error:
        return error.reason
    return "DONE"


def together(*calls: Callable[[], object]) -> list[str]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(outcome, call) for call in calls]]


def test_an_alias_and_a_deletion_at_once_leave_no_alias_on_a_deleted_version(movies: Registry) -> None:
    for number in range(10):
        version = publish(movies, f"more{number}").version
        alias = f"a{number}"
        ends = together(
            partial(movies.aliases.set, "movies", alias, version, expected_revision=0),
            partial(movies.models.delete_version, "movies", version),
        )
        assert ends in (["DONE", "VERSION_IN_USE"], ["VERSION_NOT_FOUND", "DONE"])


def test_of_two_who_make_an_alias_at_once_one_does(movies: Registry) -> None:
    for number in range(10):
        ends = together(
            *(
                partial(movies.aliases.set, "movies", f"a{number}", version, expected_revision=0)
                for version in (1, 2, 3)
            )
        )
        assert sorted(ends) == ["DONE", "REVISION_MISMATCH", "REVISION_MISMATCH"]


def test_of_two_rollbacks_from_one_revision_one_is_done(movies: Registry) -> None:
    movies.aliases.set("movies", "production", 2, expected_revision=1)
    ends = together(*[partial(movies.aliases.roll_back, "movies", "production", expected_revision=2)] * 2)
    assert sorted(ends) == ["DONE", "REVISION_MISMATCH"]


def test_a_publication_and_a_deletion_of_its_model_at_once(movies: Registry) -> None:
    movies.aliases.delete("movies", "production", expected_revision=1)
    claim = claimed(movies, request("late"))
    published, deleted = together(
        partial(movies.publish, claim, *stage(movies, 7)), partial(movies.models.delete, "movies")
    )
    assert published == "DONE"
    if deleted == "DONE":  # it came after the job's end
        assert movies.models.digests([("movies", 4)]) == {("movies", 4): None}
    else:
        assert deleted == "MODEL_IN_USE"
        assert movies.models.get_version("movies", 4).job_id == claim.job_id
