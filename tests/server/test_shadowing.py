"""A shadow is asked beside production, and what it shows is counted once and for good."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from threading import Event

import pytest
from structlog.testing import capture_logs

from mfserve.v1 import common_pb2
from mfserve.v1 import recommendation_service_pb2 as pb
from mfserve_registry import AliasShadow, Registry
from mfserve_registry.errors import Unavailable
from mfserve_registry.shadowing import AnswerSums, Pair, ShadowSums, Sums
from mfserve_registry.snapshot import SnapshotContent
from mfserve_server import shadowing
from mfserve_server.likenesses import Answer, answer_sums
from mfserve_server.tally import Tally
from tests.registry.snapshot.samples import random_content
from tests.server.calls import Server
from tests.server.conftest import MakeServer
from tests.server.oracle import likeness
from tests.server.samples import publish
from tests.server.test_routes import point
from tests.waiting import until

USERS = [f"u{number}" for number in range(40)]
SHARE = 0.5
LIMIT = 5


def contents(*, ranking: bool = True) -> list[SnapshotContent]:
    """Of a production and its shadow, which knows half of the users."""
    return [
        random_content(1, users=len(USERS), items=12),
        random_content(2, users=len(USERS) // 2, items=15, ranking=ranking),
    ]


@pytest.fixture
def shadowed(registry: Registry) -> list[SnapshotContent]:
    """Production names version 1, with version 2 as its shadow."""
    made = contents()
    for content in made:
        publish(registry, content=content)
    shadow_it(registry)
    return made


def shadow_it(registry: Registry, share: float = SHARE) -> None:
    registry.aliases.set(
        "movies",
        "production",
        1,
        shadow=AliasShadow(2, share),
        expected_revision=registry.aliases.get("movies", "production").revision,
    )


def hears(user: str) -> bool:
    text = f"movies\0production\0{2}\0{user}".encode()
    digest = blake2b(text, digest_size=8, person=b"mfserve-shadow").hexdigest()
    return (int(digest[:13], 16) + 0.5) / 2**52 < SHARE


async def recommend(server: Server, user: str, **fields: object) -> pb.RecommendResponse:
    spec = common_pb2.ModelSpec(model="movies")
    request = pb.RecommendRequest(model_spec=spec, user_id=user, limit=LIMIT, **fields)  # type: ignore[arg-type]
    response: pb.RecommendResponse = await server.recommendations.Recommend(request)
    return response


async def told(server: Server, registry: Registry, *, questions: int) -> ShadowSums:
    """What the registry knows once so many calls were put to the shadow, or dropped, or failed."""

    async def all_told() -> bool:
        await server.service._reporter.report()
        found = registry.shadowing.between("movies", 1, 2)
        return found.answers.overlap.count + found.dropped + found.failed >= questions

    await until(all_told)
    return registry.shadowing.between("movies", 1, 2)


def by_brute_force(contents: list[SnapshotContent], users: list[str]) -> AnswerSums:
    each = [likeness(contents, USERS.index(user), LIMIT) for user in users]
    return AnswerSums(*(Sums.of(*values) for values in zip(*each, strict=True)))


async def test_the_calls_of_a_share_of_the_known_users_are_put_to_the_shadow_and_compared(
    serve: MakeServer, registry: Registry, shadowed: list[SnapshotContent]
) -> None:
    server = await serve()
    await until(lambda: _has_shadow(server))
    for user in USERS * 2:  # the second time the replies are kept, and nobody is asked
        assert (await recommend(server, user)).served_version.version == 1
    users = [user for user in USERS[: len(USERS) // 2] if hears(user)]
    assert 0 < len(users) < len(USERS) // 2
    found = await told(server, registry, questions=len(users))
    expected = by_brute_force(shadowed, users)
    for name in ("overlap", "rank_correlation", "score_shift"):
        ours, theirs = getattr(found.answers, name), getattr(expected, name)
        assert ours.count == theirs.count
        assert (ours.total, ours.squares) == pytest.approx((theirs.total, theirs.squares), rel=1e-5)
    assert (found.dropped, found.failed) == (0, 0)
    times = found.answers
    assert times.seconds.count == times.other_seconds.count == times.added_seconds.count == len(users)
    assert times.added_seconds.mean == pytest.approx(times.other_seconds.mean - times.seconds.mean)


async def test_what_is_about_no_known_user_is_not_put_to_it(
    serve: MakeServer, registry: Registry, shadowed: list[SnapshotContent]
) -> None:
    shadow_it(registry, share=1.0)
    server = await serve()
    await until(lambda: _has_shadow(server))
    spec = common_pb2.ModelSpec(model="movies")
    rated = pb.History(ratings=[pb.RatedItem(item_id="i1", rating=4)])
    ask = server.recommendations
    await ask.Recommend(pb.RecommendRequest(model_spec=spec, history=rated))
    await ask.PredictRating(pb.PredictRatingRequest(model_spec=spec, user_id="u1", item_id="i1"))
    await recommend(server, "nobody")
    await recommend(server, USERS[-1])  # whom the shadow does not know
    await ask.Recommend(
        pb.RecommendRequest(model_spec=common_pb2.ModelSpec(model="movies", version=1), user_id="u2")
    )
    await recommend(server, "u3")
    found = await told(server, registry, questions=1)
    # Those before it in the queue have had their turn.
    assert found.answers.overlap.count == 1


async def test_a_full_queue_drops_and_counts(
    serve: MakeServer,
    registry: Registry,
    shadowed: list[SnapshotContent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shadowing, "MOST_WAITING", 0)
    shadow_it(registry, share=1.0)
    server = await serve()
    await until(lambda: _has_shadow(server))
    for user in USERS:
        await recommend(server, user)
    assert await told(server, registry, questions=len(USERS)) == ShadowSums(dropped=len(USERS))


async def test_a_shadow_that_cannot_answer_is_counted_and_no_caller_feels_it(
    serve: MakeServer, registry: Registry
) -> None:
    for content in contents(ranking=False):
        publish(registry, content=content)
    shadow_it(registry, share=1.0)
    server = await serve()
    await until(lambda: _has_shadow(server))
    with capture_logs() as logs:
        for user in ("u1", "u2"):
            answered = await recommend(server, user, ranking_head=common_pb2.HEAD_RANKING)
            assert len(answered.recommendations) == LIMIT
        assert await told(server, registry, questions=2) == ShadowSums(failed=2)
    assert [log["version"] for log in logs if log["event"].startswith("a shadow cannot answer")] == [1]


async def test_a_shadow_that_cannot_be_loaded_holds_up_no_move(
    serve: MakeServer, registry: Registry, shadowed: list[SnapshotContent]
) -> None:
    server = await serve()
    broken = publish(registry, content=random_content(3))
    folder = registry.snapshots.path(broken.digest)
    folder.rename(folder.with_suffix(".away"))
    registry.aliases.set("movies", "production", 2, shadow=AliasShadow(3, 1.0), expected_revision=2)

    async def moved() -> bool:
        return (await recommend(server, "u1")).served_version.version == 2

    await until(moved)
    assert not server.service._catalog.shadowed
    folder.with_suffix(".away").rename(folder)
    await until(lambda: _has_shadow(server))
    point(registry, {2: 1})

    await until(lambda: not server.service._catalog.shadowed)


def tally() -> Tally:
    found = Tally()
    found.answered[PAIR] = AnswerSums(Sums.of(0.5))
    found.dropped[PAIR] = 2
    return found


PAIR = Pair("movies", 1, 2)


def test_a_registry_that_is_away_hears_of_everything_later(registry: Registry) -> None:
    found = tally()
    with _table_away(registry), pytest.raises(Unavailable):
        found.report(registry, "server")
    found.answered[PAIR] += AnswerSums(Sums.of(0.25))
    found.report(registry, "server")
    expected = ShadowSums(AnswerSums(Sums.of(0.5, 0.25)), dropped=2)
    assert registry.shadowing.between("movies", 1, 2) == expected


def test_a_write_that_was_done_and_reported_as_failed_counts_once(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, put = tally(), registry.shadowing.put

    def put_and_lose_the_answer(server_id: str, sums: dict[Pair, ShadowSums]) -> None:
        put(server_id, sums)
        raise Unavailable("the connection broke")

    with monkeypatch.context() as patched:
        patched.setattr(registry.shadowing, "put", put_and_lose_the_answer)
        with pytest.raises(Unavailable):
            found.report(registry, "server")
    found.report(registry, "server")
    assert registry.shadowing.between("movies", 1, 2) == ShadowSums(AnswerSums(Sums.of(0.5)), dropped=2)


async def test_a_server_that_ends_tells_what_it_found_and_counts_what_waits_as_dropped(
    serve: MakeServer,
    registry: Registry,
    shadowed: list[SnapshotContent],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, go_on = Event(), Event()

    def slowly(ours: Answer | None, theirs: Answer | None) -> AnswerSums | None:
        asked.set()
        go_on.wait()
        return answer_sums(ours, theirs)

    monkeypatch.setattr(shadowing, "answer_sums", slowly)
    shadow_it(registry, share=1.0)
    server = await serve()
    await until(lambda: _has_shadow(server))
    for user in ("u1", "u2", "u3"):
        await recommend(server, user)
    await asyncio.to_thread(asked.wait)
    stopping = asyncio.create_task(server.service.stop())

    await until(server.service._shadowing._closed.is_set)  # and meanwhile the loop goes on
    go_on.set()
    await stopping
    found = registry.shadowing.between("movies", 1, 2)
    assert (found.answers.overlap.count, found.dropped, found.failed) == (1, 2, 0)


async def _has_shadow(server: Server) -> bool:
    return bool(server.service._catalog.shadowed)


@contextmanager
def _table_away(registry: Registry) -> Iterator[None]:
    with registry._database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE shadow_sums RENAME TO shadow_sums_away")
    yield
    with registry._database.write() as connection:
        connection.exec_driver_sql("ALTER TABLE shadow_sums_away RENAME TO shadow_sums")
