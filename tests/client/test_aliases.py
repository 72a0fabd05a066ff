"""Aliases: how they are set, rolled back and deleted, and what they named before."""

from __future__ import annotations

import getpass
import socket
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mfserve.types import Alias, AliasAction, AliasEvent, AliasShadow, AliasState, AliasTarget, Model
from mfserve.v1 import model_service_pb2 as pb
from tests.client.conftest import Connect, Serve
from tests.client.twins import listed

NOON = Timestamp(seconds=1_700_000_000)
AT_NOON = datetime.fromtimestamp(1_700_000_000, UTC)
ONE = pb.AliasState(targets=[pb.AliasTarget(version=1, weight=1)])


async def test_an_alias_is_set_and_read(serve: Serve, connect: Connect) -> None:
    alias = pb.Alias(
        alias="production", targets=[pb.AliasTarget(version=3, weight=1)], revision=2, update_time=NOON
    )
    seen: list[pb.SetAliasRequest] = []

    def set_alias(request: pb.SetAliasRequest, context: Any) -> Any:
        seen.append(request)
        return pb.SetAliasResponse(alias=alias)

    def get_model(request: pb.GetModelRequest, context: Any) -> Any:
        return pb.GetModelResponse(model=pb.Model(model=request.model, aliases=[alias]))

    client = connect(serve(SetAlias=set_alias, GetModel=get_model).address, actor="ann")
    expected = Alias("production", (AliasTarget(3, 1),), 2, AT_NOON)
    assert await client.set_alias("movies", "production", 3, expected_revision=1, reason="better") == expected
    assert await client.get_model("movies") == Model("movies", 0, (expected,), None)
    await client.set_alias("movies", "candidate", 3, expected_revision=0)
    assert seen[0] == pb.SetAliasRequest(
        model="movies", alias="production", version=3, expected_revision=1, reason="better", actor="ann"
    )
    assert seen[1].HasField("expected_revision")


async def test_a_version_is_promoted(serve: Serve, connect: Connect) -> None:
    seen: list[pb.PromoteModelVersionRequest] = []

    def promote(request: pb.PromoteModelVersionRequest, context: Any) -> Any:
        seen.append(request)
        target = pb.AliasTarget(version=request.version, weight=1)
        return pb.PromoteModelVersionResponse(
            alias=pb.Alias(alias=request.alias, targets=[target], revision=2)
        )

    client = connect(serve(PromoteModelVersion=promote).address, actor="ann")
    moved = await client.promote("movies", 3)
    assert moved == Alias("production", (AliasTarget(3, 1),), 2, None)
    await client.promote("movies", 3, "candidate", force=True, expected_revision=0, reason="all the same")
    assert seen == [
        pb.PromoteModelVersionRequest(model="movies", version=3, alias="production", actor="ann"),
        pb.PromoteModelVersionRequest(
            model="movies",
            version=3,
            alias="candidate",
            force=True,
            expected_revision=0,
            reason="all the same",
            actor="ann",
        ),
    ]


async def test_an_alias_is_split_and_shadowed(serve: Serve, connect: Connect) -> None:
    seen: list[pb.SetAliasRequest] = []

    def set_alias(request: pb.SetAliasRequest, context: Any) -> Any:
        seen.append(request)
        return pb.SetAliasResponse(
            alias=pb.Alias(alias="production", targets=request.targets, shadow=request.shadow, revision=2)
        )

    client = connect(serve(SetAlias=set_alias).address)
    targets = {3: 90, 4: 10}
    expected = Alias("production", (AliasTarget(3, 90), AliasTarget(4, 10)), 2, None, AliasShadow(5, 0.25))
    for shadow in ((5, 0.25), AliasShadow(5, 0.25)):
        assert (
            await client.set_alias(
                "movies", "production", targets=targets, shadow=shadow, expected_revision=1
            )
            == expected
        )
    assert seen[0] == seen[1]
    assert (seen[0].version, seen[0].actor) == (0, f"{getpass.getuser()}@{socket.gethostname()}")


async def test_a_user_without_a_name_is_no_obstacle(
    serve: Serve, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 4711")

    monkeypatch.setattr(getpass, "getuser", nobody)
    actors: list[str] = []

    def delete(request: pb.DeleteAliasRequest, context: Any) -> Any:
        actors.append(request.actor)
        return pb.DeleteAliasResponse()

    await connect(serve(DeleteAlias=delete).address).delete_alias("movies", "x", expected_revision=1)
    assert actors == [f"unknown@{socket.gethostname()}"]


async def test_an_alias_is_rolled_back_and_deleted(serve: Serve, connect: Connect) -> None:
    seen: list[Any] = []

    def roll_back(request: pb.RollbackAliasRequest, context: Any) -> Any:
        seen.append(request)
        return pb.RollbackAliasResponse(alias=pb.Alias(alias="production", targets=ONE.targets, revision=3))

    def delete(request: pb.DeleteAliasRequest, context: Any) -> Any:
        seen.append(request)
        return pb.DeleteAliasResponse()

    client = connect(serve(RollbackAlias=roll_back, DeleteAlias=delete).address, actor="ann")
    back = Alias("production", (AliasTarget(1, 1),), 3, None)
    assert await client.rollback_alias("movies", "production", reason="worse") == back
    await client.rollback_alias("movies", "production", expected_revision=3)
    assert await client.delete_alias("movies", "production", expected_revision=4) is None
    assert seen == [
        pb.RollbackAliasRequest(model="movies", alias="production", reason="worse", actor="ann"),
        pb.RollbackAliasRequest(model="movies", alias="production", expected_revision=3, actor="ann"),
        pb.DeleteAliasRequest(model="movies", alias="production", expected_revision=4, actor="ann"),
    ]


async def test_the_history_of_an_alias(serve: Serve, connect: Connect) -> None:
    seen: list[pb.ListAliasEventsRequest] = []
    event = pb.AliasEvent(
        revision=2,
        action=pb.ALIAS_ACTION_ROLLED_BACK,
        before=pb.AliasState(
            targets=[pb.AliasTarget(version=2, weight=1)], shadow=pb.AliasShadow(version=3, share=0.5)
        ),
        after=ONE,
        actor="ann",
        reason="worse",
        time=NOON,
        restored_revision=1,
    )
    first = pb.AliasEvent(revision=1, action=pb.ALIAS_ACTION_FIRST_VERSION, after=ONE)

    def events(request: pb.ListAliasEventsRequest, context: Any) -> Any:
        seen.append(request)
        more = not request.page_token
        return pb.ListAliasEventsResponse(
            events=[event if more else first], next_page_token="more" if more else ""
        )

    client = connect(serve(ListAliasEvents=events).address)
    one, nothing = AliasState((AliasTarget(1, 1),)), AliasState(())
    here = datetime(2023, 11, 15, 0, 13, 20, tzinfo=timezone(timedelta(hours=2)))
    assert here == AT_NOON
    assert await listed(client.list_alias_events("movies", "production", until=here, page_size=1)) == [
        AliasEvent(
            2,
            AliasAction.ROLLED_BACK,
            AliasState((AliasTarget(2, 1),), AliasShadow(3, 0.5)),
            one,
            "ann",
            "worse",
            AT_NOON,
            1,
        ),
        AliasEvent(1, AliasAction.FIRST_VERSION, nothing, one, "", "", None, None),
    ]
    asked = pb.ListAliasEventsRequest(model="movies", alias="production", page_size=1, until=NOON)
    assert seen[0] == asked
    with pytest.raises(ValueError, match="until needs a time zone"):
        await listed(client.list_alias_events("movies", "production", until=datetime(2023, 11, 15)))  # noqa: DTZ001 - that is what is tested


@pytest.mark.parametrize(("after", "named"), [(ONE, True), (pb.AliasState(), False), (None, False)])
async def test_what_an_alias_named_at_a_time(
    serve: Serve, connect: Connect, after: pb.AliasState | None, named: bool
) -> None:
    def events(request: pb.ListAliasEventsRequest, context: Any) -> Any:
        assert (request.until, request.page_size) == (NOON, 1)
        found = [] if after is None else [pb.AliasEvent(revision=7, after=after)]
        return pb.ListAliasEventsResponse(events=found, next_page_token="more")

    server = serve(ListAliasEvents=events)
    found = await connect(server.address).alias_at("movies", "production", AT_NOON)
    assert (found is not None and found.revision == 7) == named
    assert len(server.calls) == 1
