"""What names resolve to, and how aliases move."""

from __future__ import annotations

import pytest

from mfserve_registry import AliasTarget, Registry
from mfserve_registry.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound, RegistryError
from tests.registry.helpers import Clock, publish


@pytest.fixture
def movies(registry: Registry) -> Registry:
    """Three versions of movies, candidate at 2."""
    publish(registry, "a", seed=0)
    publish(registry, "b", seed=1, promote_to_alias="candidate")
    publish(registry, "c", seed=2)
    return registry


def test_resolving(movies: Registry) -> None:
    versions = {version.version: version for version in movies.models.list_versions("movies").items}
    for asked, number in ((None, 1), ("candidate", 2), ("latest", 3)):
        found = movies.models.resolve("movies", alias=asked)
        assert (found.model, found.version, found.alias) == ("movies", number, asked or "production")
        assert found.digest == versions[number].digest
    by_number = movies.models.resolve("movies", version=2)
    assert (by_number.version, by_number.alias) == (2, None)


@pytest.mark.parametrize(
    ("model", "version", "alias", "reason"),
    [
        ("books", None, None, "MODEL_NOT_FOUND"),
        ("books", 1, None, "MODEL_NOT_FOUND"),
        ("movies", 4, None, "VERSION_NOT_FOUND"),
        ("movies", 2**62, None, "VERSION_NOT_FOUND"),
        ("movies", None, "beta", "ALIAS_NOT_FOUND"),
        ("movies", 0, None, "INVALID_FIELD"),
        ("movies", 1, "production", "INVALID_FIELD"),
        ("movies", None, "Beta", "INVALID_FIELD"),
        ("", None, None, "INVALID_FIELD"),
    ],
)
def test_what_does_not_resolve(
    movies: Registry, model: str, version: int | None, alias: str | None, reason: str
) -> None:
    with pytest.raises(RegistryError) as caught:
        movies.models.resolve(model, version=version, alias=alias)
    assert caught.value.reason == reason
    assert isinstance(caught.value, InvalidArgument if reason == "INVALID_FIELD" else NotFound)
    assert caught.value.field


def test_a_model(movies: Registry) -> None:
    model = movies.models.get("movies")
    assert (model.model, model.latest_version) == ("movies", 3)
    assert [alias.alias for alias in model.aliases] == ["candidate", "production"]
    assert movies.models.list().items == [model]


def test_models_in_pages(registry: Registry) -> None:
    names = [f"m{number}" for number in range(7)]
    for name in reversed(names):
        publish(registry, name, name)
    seen, token = [], ""
    while True:
        page = registry.models.list(page_size=3, page_token=token)
        seen += [model.model for model in page.items]
        if not (token := page.next_page_token):
            break
    assert seen == names


def test_versions_in_pages(movies: Registry) -> None:
    first = movies.models.list_versions("movies", page_size=2)
    publish(movies, "d")
    second = movies.models.list_versions("movies", page_size=2, page_token=first.next_page_token)
    assert [version.version for version in first.items + second.items] == [3, 2, 1]
    assert second.next_page_token == ""
    with pytest.raises(NotFound):
        movies.models.list_versions("books")
    with pytest.raises(InvalidArgument):
        movies.models.list_versions("movies", page_size=0)
    with pytest.raises(InvalidArgument):
        movies.models.list_versions("movies", page_token=first.next_page_token + "x")


def test_moving_an_alias(movies: Registry, clock: Clock) -> None:
    moved = movies.aliases.set("movies", "production", 3, expected_revision=1, reason="better", actor="ann")
    assert (moved.targets, moved.revision, moved.updated_at) == ((AliasTarget(3, 1),), 2, clock.now)
    assert movies.aliases.get("movies", "production") == moved
    made = movies.aliases.set("movies", "canary", 2, expected_revision=0)
    assert made.revision == 1


@pytest.mark.parametrize(
    ("alias", "expected", "found", "says"),
    [
        ("production", 0, 1, "is at revision 1, not 0: it was changed"),
        ("production", 2, 1, "is at revision 1, not 2: it was changed"),
        ("new", 1, 0, "does not exist, so that it is not at revision 1."),
    ],
)
def test_a_move_from_another_revision_is_refused(
    movies: Registry, alias: str, expected: int, found: int, says: str
) -> None:
    before = movies.aliases.list("movies")
    with pytest.raises(Aborted) as caught:
        movies.aliases.set("movies", alias, 3, expected_revision=expected)
    assert caught.value.reason == "REVISION_MISMATCH"
    assert caught.value.metadata["revision"] == str(found)
    assert says in caught.value.message
    assert movies.aliases.list("movies") == before


@pytest.mark.parametrize(
    ("model", "alias", "version", "kind", "reason"),
    [
        ("movies", "latest", 1, FailedPrecondition, "ALIAS_RESERVED"),
        ("movies", "production", 9, NotFound, "VERSION_NOT_FOUND"),
        ("books", "production", 1, NotFound, "MODEL_NOT_FOUND"),
        ("movies", "Prod", 1, InvalidArgument, "INVALID_FIELD"),
    ],
)
def test_moves_that_cannot_be(
    movies: Registry, model: str, alias: str, version: int, kind: type[RegistryError], reason: str
) -> None:
    with pytest.raises(kind) as caught:
        movies.aliases.set(model, alias, version, expected_revision=1)
    assert caught.value.reason == reason


def test_texts_and_revisions_within_limits(movies: Registry) -> None:
    for field, arguments in (
        ("expected_revision", {"expected_revision": -1}),
        ("reason", {"expected_revision": 1, "reason": "x" * 1001}),
        ("actor", {"expected_revision": 1, "actor": "x" * 256}),
    ):
        with pytest.raises(InvalidArgument) as caught:
            movies.aliases.set("movies", "production", 1, **arguments)
        assert caught.value.field == field


def test_everything_that_aliases_name(movies: Registry) -> None:
    publish(movies, "x", "books", seed=1)
    aliased = movies.aliases.aliased()
    named = [(found.model, found.alias, [version.version for version in found.versions]) for found in aliased]
    assert named == [
        ("books", "production", [1]),
        ("movies", "candidate", [2]),
        ("movies", "production", [1]),
    ]
    for found in aliased:
        assert movies.aliases.resolve(found.model, found.alias) == found
        (version,) = found.versions
        assert movies.models.resolve(found.model, alias=found.alias) == version


def test_unknown_aliases(movies: Registry) -> None:
    with pytest.raises(NotFound) as caught:
        movies.aliases.get("movies", "beta")
    assert caught.value.reason == "ALIAS_NOT_FOUND"
    with pytest.raises(NotFound):
        movies.aliases.list("books")
