"""Splits and shadows, and an alias's history: what it tells, and how to go back in it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from mfserve_registry import AliasShadow, AliasState, AliasTarget, Registry, ResolvedVersion
from mfserve_registry.aliases import AliasAction
from mfserve_registry.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, RegistryError
from tests.registry.helpers import EPOCH, Clock, publish

SPLIT = (AliasTarget(3, 90), AliasTarget(1, 10))
SHADOW = AliasShadow(2, 0.25)


@pytest.fixture
def movies(registry: Registry) -> Registry:
    """Three versions of movies, production at 1."""
    for seed in range(3):
        publish(registry, f"r{seed}", seed=seed)
    return registry


def one(version: int) -> AliasState:
    return AliasState((AliasTarget(version, 1),))


def move(registry: Registry, version: int, alias: str = "production") -> None:
    now = {found.alias: found.revision for found in registry.aliases.list("movies")}
    registry.aliases.set("movies", alias, version, expected_revision=now.get(alias, 0))


def back(registry: Registry) -> int:
    """Rolls production back; the version that it then names."""
    return registry.aliases.roll_back("movies", "production").targets[0].version


def test_several_versions_and_a_shadow(movies: Registry) -> None:
    made = movies.aliases.set("movies", "production", targets=SPLIT[::-1], shadow=SHADOW, expected_revision=1)
    assert (made.targets, made.shadow) == (SPLIT, SHADOW)
    assert movies.aliases.get("movies", "production") == made
    (named,) = movies.aliases.aliased()
    assert named.state == made.state
    assert [target.version for target in named.targets] == [3, 1], "the heaviest first"
    assert named.shadow == ResolvedVersion(
        "movies", 2, movies.models.get_version("movies", 2).digest, "production"
    )
    assert movies.models.resolve("movies").version == 3
    assert [version.aliases for version in movies.models.list_versions("movies").items] == [
        ("production",)
    ] * 3
    move(movies, 2)
    assert movies.aliases.get("movies", "production").state == one(2), "the shadow ends with the next change"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({}, "version"),
        ({"version": 1, "targets": SPLIT}, "version"),
        ({"targets": (AliasTarget(1, 1), AliasTarget(1, 2))}, "targets[1].version"),
        ({"targets": (AliasTarget(1, 1), AliasTarget(2, 0))}, "targets[1].weight"),
        ({"targets": (AliasTarget(1, 1_000_001),)}, "targets[0].weight"),
        ({"targets": tuple(AliasTarget(version, 1) for version in range(1, 12))}, "targets"),
        ({"targets": (AliasTarget(1, 1), AliasTarget(9, 1))}, "targets[1].version"),
        ({"version": 9}, "version"),
        ({"version": 1, "shadow": AliasShadow(9, 0.5)}, "shadow.version"),
        ({"version": 1, "shadow": AliasShadow(1, 0.5)}, "shadow.version"),
        ({"version": 1, "shadow": AliasShadow(2, 0.0)}, "shadow.share"),
        ({"version": 1, "shadow": AliasShadow(2, 1.01)}, "shadow.share"),
        ({"version": 1, "shadow": AliasShadow(2, float("nan"))}, "shadow.share"),
    ],
)
def test_what_an_alias_cannot_name(movies: Registry, arguments: dict[str, Any], field: str) -> None:
    with pytest.raises(RegistryError) as caught:
        movies.aliases.set("movies", "production", expected_revision=1, **arguments)
    assert caught.value.field == field
    assert caught.value.reason in ("INVALID_FIELD", "VERSION_NOT_FOUND")
    assert movies.aliases.get("movies", "production").revision == 1


def test_the_history_tells_who_when_from_to_and_why(movies: Registry, clock: Clock) -> None:
    clock.advance(timedelta(hours=1))
    movies.aliases.set(
        "movies", "production", targets=SPLIT, shadow=SHADOW, expected_revision=1, reason="try", actor="ann"
    )
    clock.advance(timedelta(hours=1))
    movies.aliases.roll_back("movies", "production", reason="worse", actor="bob")
    clock.advance(timedelta(hours=1))
    movies.aliases.delete("movies", "production", expected_revision=3, actor="cid")
    found = movies.aliases.events("movies", "production").items
    assert [(event.revision, event.action, event.at) for event in found] == [
        (4, AliasAction.DELETED, EPOCH + timedelta(hours=3)),
        (3, AliasAction.ROLLED_BACK, EPOCH + timedelta(hours=2)),
        (2, AliasAction.SET, EPOCH + timedelta(hours=1)),
        (1, AliasAction.FIRST_VERSION, EPOCH),
    ]
    split = AliasState(SPLIT, SHADOW)
    assert [(event.before, event.after) for event in found] == [
        (one(1), AliasState()),
        (split, one(1)),
        (one(1), split),
        (AliasState(), one(1)),
    ]
    assert [(event.actor, event.reason, event.restored_revision) for event in found[:3]] == [
        ("cid", "", None),
        ("bob", "worse", 1),
        ("ann", "try", None),
    ]


def test_the_history_comes_in_pages_and_up_to_a_moment(movies: Registry, clock: Clock) -> None:
    for version in (2, 3, 1, 2):
        clock.advance(timedelta(hours=1))
        move(movies, version)
    first = movies.aliases.events("movies", "production", page_size=3)
    rest = movies.aliases.events("movies", "production", page_size=3, page_token=first.next_page_token)
    assert [event.revision for event in first.items + rest.items] == [5, 4, 3, 2, 1]
    for hours, version in ((0, 1), (0.5, 1), (1, 2), (2.9, 3), (100, 2)):
        moment = EPOCH + timedelta(hours=hours)
        found = movies.aliases.events("movies", "production", until=moment, page_size=1).items[0]
        assert found.after == one(version)
    assert movies.aliases.events("movies", "production", until=EPOCH - timedelta(seconds=1)).items == []
    with pytest.raises(InvalidArgument) as caught:
        movies.aliases.events("movies", "production", until=EPOCH, page_token=first.next_page_token)
    assert caught.value.reason == "PAGE_TOKEN_INVALID"


@pytest.mark.parametrize(
    ("model", "alias", "reason"),
    [
        ("movies", "beta", "ALIAS_NOT_FOUND"),
        ("books", "production", "MODEL_NOT_FOUND"),
        ("movies", "Beta", "INVALID_FIELD"),
    ],
)
def test_no_alias_no_history(movies: Registry, model: str, alias: str, reason: str) -> None:
    for call in (movies.aliases.events, movies.aliases.roll_back):
        with pytest.raises(RegistryError) as caught:
            call(model, alias)
        assert caught.value.reason == reason
    with pytest.raises(RegistryError) as caught:
        movies.aliases.delete(model, alias, expected_revision=0)
    assert caught.value.reason == reason


def test_rolling_back_again_goes_further_back(movies: Registry) -> None:
    for version in (2, 2, 3):
        move(movies, version)
    assert [back(movies), back(movies)] == [2, 1], "the state that was set twice is one"
    with pytest.raises(FailedPrecondition) as caught:
        back(movies)
    assert (caught.value.reason, caught.value.field) == ("ROLLBACK_TARGET_MISSING", "alias")
    move(movies, 3)
    assert back(movies) == 1, "2 was rolled back before: it is no more the past of 3"


def test_a_rollback_brings_back_weights_and_shadow(movies: Registry) -> None:
    movies.aliases.set("movies", "production", targets=SPLIT, shadow=SHADOW, expected_revision=1)
    move(movies, 2)
    assert movies.aliases.roll_back("movies", "production").state == AliasState(SPLIT, SHADOW)


def test_a_rollback_compares_where_it_is_asked_to(movies: Registry) -> None:
    move(movies, 2)
    with pytest.raises(Aborted) as caught:
        movies.aliases.roll_back("movies", "production", expected_revision=1)
    assert caught.value.metadata["revision"] == "2"
    assert movies.aliases.roll_back("movies", "production", expected_revision=2).revision == 3


def test_a_rollback_to_a_deleted_version_is_refused(movies: Registry) -> None:
    movies.aliases.set(
        "movies", "production", targets=(AliasTarget(1, 1), AliasTarget(2, 1)), expected_revision=1
    )
    move(movies, 3)
    movies.models.delete_version("movies", 2)
    with pytest.raises(FailedPrecondition, match="named version 2 before") as caught:
        back(movies)
    assert caught.value.reason == "ROLLBACK_TARGET_MISSING"
    assert caught.value.metadata == {"model": "movies", "alias": "production", "version": "2"}


def test_a_deleted_alias_is_gone_and_its_revisions_go_on(movies: Registry) -> None:
    move(movies, 2)
    with pytest.raises(Aborted):
        movies.aliases.delete("movies", "production", expected_revision=1)
    movies.aliases.delete("movies", "production", expected_revision=2)
    assert movies.aliases.list("movies") == []
    assert movies.aliases.aliased() == []
    assert movies.aliases.deleted([("movies", "production"), ("movies", "beta")]) == {
        ("movies", "production")
    }
    for call in (movies.models.resolve, lambda model: movies.aliases.get(model, "production")):
        with pytest.raises(NotFound) as caught:
            call("movies")
        assert caught.value.reason == "ALIAS_NOT_FOUND"
    with pytest.raises(Aborted):
        movies.aliases.set("movies", "production", 3, expected_revision=3)
    assert movies.aliases.set("movies", "production", 3, expected_revision=0).revision == 4
    assert back(movies) == 2, "the time without the alias does not count"


@pytest.mark.parametrize("revision", [-1, -(2**40)])
def test_what_cannot_be_a_change(movies: Registry, revision: int) -> None:
    for change in (movies.aliases.delete, movies.aliases.roll_back):
        for field, arguments in (
            ("expected_revision", {"expected_revision": revision}),
            ("reason", {"expected_revision": 1, "reason": "x" * 1001}),
            ("actor", {"expected_revision": 1, "actor": "x" * 256}),
        ):
            with pytest.raises(InvalidArgument) as caught:
                change("movies", "production", **arguments)
            assert caught.value.field == field
        with pytest.raises(FailedPrecondition) as reserved:
            change("movies", "latest", expected_revision=1)
        assert reserved.value.reason == "ALIAS_RESERVED"
