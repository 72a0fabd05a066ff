"""An alias of several versions on a real server: who is answered by which, before and after a change of its weights."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any

import pytest

from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry import AliasShadow, AliasTarget, Registry
from mfserve_registry.errors import FailedPrecondition
from mfserve_server import catalog
from mfserve_server.splitting import Split
from tests.registry.snapshot.samples import random_content
from tests.server.calls import Server
from tests.server.conftest import MakeServer
from tests.server.samples import publish
from tests.server.test_versions import answer, states
from tests.waiting import until

USERS = [f"u{number}" for number in range(60)]


@pytest.fixture
def two(registry: Registry) -> Registry:
    """Two versions of movies, which production shares 3:1."""
    for seed in (1, 2):
        publish(registry, content=random_content(seed, users=len(USERS)))
    point(registry, {1: 3, 2: 1})
    return registry


def point(registry: Registry, weights: Mapping[int, int], alias: str = "production") -> None:
    revision = {found.alias: found.revision for found in registry.aliases.list("movies")}.get(alias, 0)
    targets = [AliasTarget(*target) for target in weights.items()]
    registry.aliases.set("movies", alias, targets=targets, expected_revision=revision)


def by_the_formula(weights: Mapping[int, int], alias: str = "production") -> dict[str, int]:
    """The version of each user; ``test_splitting`` holds Split to the formula."""
    versions = sorted(weights, key=lambda version: (-weights[version], version))
    split = Split("movies", alias, [AliasTarget(version, weights[version]) for version in versions])
    return {user: versions[split.place(user)] for user in USERS}


async def recommended(server: Server, user: str, **choice: Any) -> pb.RecommendResponse:
    spec = common_pb2.ModelSpec(model="movies", **choice)
    response: pb.RecommendResponse = await server.recommendations.Recommend(
        pb.RecommendRequest(model_spec=spec, user_id=user)
    )
    return response


async def predicted(server: Server, user: str, **choice: Any) -> pb.PredictRatingResponse:
    spec = common_pb2.ModelSpec(model="movies", **choice)
    response: pb.PredictRatingResponse = await server.recommendations.PredictRating(
        pb.PredictRatingRequest(model_spec=spec, user_id=user, item_id="i1")
    )
    return response


async def check_all(server: Server, versions: Mapping[str, int], **choice: Any) -> None:
    """Every user gets what the version says that they belong to."""
    for user, version in versions.items():
        for ask in (recommended, predicted):
            found = await ask(server, user, **choice)
            assert found.served_version.version == version
            assert found == await ask(server, user, version=version)


async def test_every_user_is_answered_by_the_version_of_the_formula_also_after_a_change(
    serve: MakeServer, two: Registry
) -> None:
    server = await serve()
    weights = {1: 3, 2: 1}
    for after in ({1: 1, 2: 3}, {2: 1}, {1: 2, 2: 2}):
        versions, then = by_the_formula(weights), by_the_formula(after)
        for _ in range(2):  # the second time from the replies that are kept
            await check_all(server, versions)
        moved = [user for user in USERS if versions[user] != then[user]]
        assert moved
        point(two, after)

        async def swapped(user: str = moved[0], version: int = then[moved[0]]) -> bool:
            return (await recommended(server, user)).served_version.version == version

        await until(swapped)
        await check_all(server, then)
        weights = after


async def test_a_server_that_has_yet_to_hear_of_an_alias_goes_by_the_formula_too(
    serve: MakeServer, two: Registry
) -> None:
    server = await serve(poll_seconds=60)
    point(two, {1: 1, 2: 1}, "canary")
    await check_all(server, by_the_formula({1: 1, 2: 1}, "canary"), alias="canary")


async def test_a_call_that_is_about_no_user_or_several_goes_to_the_heaviest(
    serve: MakeServer, two: Registry
) -> None:
    point(two, {1: 1, 2: 3})
    server = await serve()
    spec = common_pb2.ModelSpec(model="movies")
    history = pb.History(ratings=[pb.RatedItem(item_id="i1", rating=4)])
    pairs = [pb.UserItem(user_id=user, item_id="i1") for user in USERS]
    ask = server.recommendations
    answers: list[Any] = [
        await ask.Recommend(pb.RecommendRequest(model_spec=spec, history=history)),
        await ask.FindSimilarItems(pb.FindSimilarItemsRequest(model_spec=spec, item_id="i1")),
        await ask.BatchPredictRatings(pb.BatchPredictRatingsRequest(model_spec=spec, pairs=pairs)),
    ]
    config = pb.StreamRecommendRequest(config=pb.StreamRecommendConfig(model_spec=spec))
    answers += [response.started async for response in ask.StreamRecommend(iter([config]))]
    assert [answer.served_version.version for answer in answers] == [2, 2, 2, 2]


async def test_a_target_that_cannot_be_loaded_leaves_everybody_where_they_are(
    serve: MakeServer, two: Registry
) -> None:
    broken = publish(two, content=random_content(3, users=len(USERS)))
    shutil.rmtree(two.snapshots.path(broken.digest))
    server = await serve()
    point(two, {1: 1, 2: 1, 3: 1})

    async def failed() -> bool:
        return ("movies", 3) in await states(server)

    await until(failed)
    await check_all(server, by_the_formula({1: 3, 2: 1}))


async def test_where_nothing_else_answers_the_targets_that_can_be_loaded_answer_everybody(
    serve: MakeServer, two: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And who belongs to one of them stays with it, before and after the others come back."""
    monkeypatch.setattr(catalog, "FIRST_RETRY_SECONDS", 0.05)
    weights = {1: 3, 2: 1, 3: 2, 4: 2}
    away = []
    for seed in (3, 4):
        folder = two.snapshots.path(publish(two, content=random_content(seed, users=len(USERS))).digest)
        away.append((folder, folder.rename(folder.with_suffix(".away"))))
    shadow = publish(two, content=random_content(5, users=len(USERS))).version
    targets = [AliasTarget(*target) for target in weights.items()]
    two.aliases.set(
        "movies", "production", targets=targets, shadow=AliasShadow(shadow, 1.0), expected_revision=2
    )
    server = await serve()
    for _ in range(2):  # the second time from the replies that are kept
        await check_all(server, by_the_formula({1: 3, 2: 1}))
    told = await states(server)
    assert {key: list(held.aliases) for key, held in told.items()} == {
        ("movies", 1): ["production"],
        ("movies", 2): ["production"],
        ("movies", 3): [],
        ("movies", 4): [],
        ("movies", shadow): [],
    }
    assert told["movies", 3].message.endswith("Until then the other versions answer its users of production.")
    answering = {1: 3, 2: 1}
    for version, (folder, moved) in zip((4, 3), reversed(away), strict=True):
        moved.rename(folder)
        answering[version] = weights[version]

        async def back(version: int = version) -> bool:
            held = (await states(server)).get(("movies", version))
            return held is not None and list(held.aliases) == ["production"]

        await until(back)
        await check_all(server, by_the_formula(answering))
    assert answering == weights
    assert list((await states(server))["movies", shadow].aliases) == []


async def test_what_answers_without_a_part_makes_way_to_a_whole_alone(
    serve: MakeServer, two: Registry
) -> None:
    for seed in (3, 4):
        broken = publish(two, content=random_content(seed, users=len(USERS)))
        shutil.rmtree(two.snapshots.path(broken.digest))
    point(two, {1: 3, 2: 1, 3: 2})
    server = await serve()
    point(two, {1: 1, 4: 1})  # of which less could be loaded

    async def failed() -> bool:
        return ("movies", 4) in await states(server)

    await until(failed)
    await check_all(server, by_the_formula({1: 3, 2: 1}))
    # Nobody waits for the third any more.
    assert "Until then" not in (await states(server))["movies", 3].message
    # So it is on a server that starts now, by what its home remembers.
    await check_all(await serve(), by_the_formula({1: 3, 2: 1}))
    point(two, {2: 1})

    async def swapped() -> bool:
        return ("movies", 1) not in await states(server)

    await until(swapped)
    await check_all(server, by_the_formula({2: 1}))


async def test_each_target_counts_as_served_for_the_alias(serve: MakeServer, two: Registry) -> None:
    server = await serve()
    await answer(server)
    found = await states(server)
    assert {key: list(held.aliases) for key, held in found.items()} == {
        ("movies", 1): ["production"],
        ("movies", 2): ["production"],
    }
    broken = publish(two, content=random_content(3, users=len(USERS)))
    shutil.rmtree(two.snapshots.path(broken.digest))
    point(two, {3: 1})  # which the server cannot follow: it goes on with both

    async def failed() -> bool:
        return ("movies", 3) in await states(server)

    await until(failed)
    await server.service._reporter.report()
    for version in (1, 2):
        with pytest.raises(FailedPrecondition) as caught:
            two.models.delete_version("movies", version)
        assert caught.value.reason == "VERSION_IN_USE"
