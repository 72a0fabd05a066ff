"""ModelService: aliases, how they move, and what they named before."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from mfserve.v1 import model_service_pb2 as pb
from mfserve_registry import Registry
from tests.server.calls import Server, failure
from tests.server.conftest import MakeServer
from tests.server.samples import publish


def target(version: int, weight: int) -> pb.AliasTarget:
    return pb.AliasTarget(version=version, weight=weight)


def set_alias(**fields: Any) -> pb.SetAliasRequest:
    whole: dict[str, Any] = {"model": "movies", "alias": "candidate", "version": 1, "expected_revision": 0}
    return pb.SetAliasRequest(**(whole | fields))


async def test_an_alias_is_moved_by_compare_and_swap(server: Server, registry: Registry) -> None:
    publish(registry)
    publish(registry, seed=1)
    made = (await server.models.SetAlias(set_alias(reason="to try it"))).alias
    assert (made.alias, made.revision, made.targets[0].version) == ("candidate", 1, 1)
    moved = (await server.models.SetAlias(set_alias(version=2, expected_revision=1))).alias
    assert (moved.revision, moved.targets[0].version) == (2, 2)
    found = await failure(server.models.SetAlias(set_alias(expected_revision=1)))
    assert (found.code, found.reason) == (grpc.StatusCode.ABORTED, "REVISION_MISMATCH")
    assert found.metadata == {"model": "movies", "alias": "candidate", "revision": "2"}


@pytest.mark.parametrize(
    ("fields", "code", "reason", "field"),
    [
        ({"expected_revision": None}, "INVALID_ARGUMENT", "INVALID_FIELD", "expected_revision"),
        ({"expected_revision": -1}, "INVALID_ARGUMENT", "INVALID_FIELD", "expected_revision"),
        ({"alias": ""}, "INVALID_ARGUMENT", "INVALID_FIELD", "alias"),
        ({"model": ""}, "INVALID_ARGUMENT", "INVALID_FIELD", "model"),
        ({"reason": "x" * 1001}, "INVALID_ARGUMENT", "INVALID_FIELD", "reason"),
        ({"actor": "x" * 256}, "INVALID_ARGUMENT", "INVALID_FIELD", "actor"),
        ({"version": 0}, "INVALID_ARGUMENT", "INVALID_FIELD", "version"),
        ({"targets": [target(1, 1)]}, "INVALID_ARGUMENT", "INVALID_FIELD", "version"),
        ({"version": 0, "targets": [target(1, 0)]}, "INVALID_ARGUMENT", "INVALID_FIELD", "targets[0].weight"),
        ({"version": 0, "targets": [target(9, 1)]}, "NOT_FOUND", "VERSION_NOT_FOUND", "targets[0].version"),
        ({"shadow": pb.AliasShadow(version=9, share=1)}, "NOT_FOUND", "VERSION_NOT_FOUND", "shadow.version"),
        ({"shadow": pb.AliasShadow(version=2)}, "INVALID_ARGUMENT", "INVALID_FIELD", "shadow.share"),
        ({"alias": "latest"}, "FAILED_PRECONDITION", "ALIAS_RESERVED", "alias"),
        ({"version": 9}, "NOT_FOUND", "VERSION_NOT_FOUND", "version"),
        ({"model": "none"}, "NOT_FOUND", "MODEL_NOT_FOUND", "model"),
    ],
)
async def test_a_bad_change_of_an_alias_is_refused(
    fields: dict[str, Any], code: str, reason: str, field: str, server: Server, registry: Registry
) -> None:
    publish(registry)
    found = await failure(server.models.SetAlias(set_alias(**fields)))
    assert (found.code.name, found.reason, found.fields) == (code, reason, [field])


async def test_an_alias_names_several_versions_and_a_shadow(server: Server, registry: Registry) -> None:
    for seed in range(3):
        publish(registry, seed=seed)
    wanted = [target(3, 90), target(2, 10)]
    shadow = pb.AliasShadow(version=1, share=0.25)
    made = (await server.models.SetAlias(set_alias(version=0, targets=wanted[::-1], shadow=shadow))).alias
    assert (list(made.targets), made.shadow) == (wanted, shadow)
    model = (await server.models.GetModel(pb.GetModelRequest(model="movies"))).model
    assert model.aliases[0] == made
    moved = (await server.models.SetAlias(set_alias(version=2, expected_revision=1))).alias
    assert (list(moved.targets), moved.HasField("shadow")) == ([target(2, 1)], False)


async def test_the_history_of_an_alias(server: Server, registry: Registry) -> None:
    publish(registry)
    publish(registry, seed=1)
    named: dict[str, Any] = {"model": "movies", "alias": "candidate", "actor": "ann", "reason": "why"}
    await server.models.SetAlias(pb.SetAliasRequest(**named, version=1, expected_revision=0))
    shadow = pb.AliasShadow(version=1, share=0.5)
    await server.models.SetAlias(pb.SetAliasRequest(**named, version=2, shadow=shadow, expected_revision=1))
    back = (await server.models.RollbackAlias(pb.RollbackAliasRequest(**named, expected_revision=2))).alias
    assert (back.revision, list(back.targets)) == (3, [target(1, 1)])
    await server.models.DeleteAlias(pb.DeleteAliasRequest(**named, expected_revision=3))
    model = (await server.models.GetModel(pb.GetModelRequest(model="movies"))).model
    assert [alias.alias for alias in model.aliases] == ["production"]

    request = pb.ListAliasEventsRequest(model="movies", alias="candidate", page_size=3)
    first = await server.models.ListAliasEvents(request)
    request.page_token = first.next_page_token
    rest = await server.models.ListAliasEvents(request)
    events = [*first.events, *rest.events]
    assert [(event.revision, pb.AliasAction.Name(event.action)) for event in events] == [
        (4, "ALIAS_ACTION_DELETED"),
        (3, "ALIAS_ACTION_ROLLED_BACK"),
        (2, "ALIAS_ACTION_SET"),
        (1, "ALIAS_ACTION_SET"),
    ]
    one, two = pb.AliasState(targets=[target(1, 1)]), pb.AliasState(targets=[target(2, 1)], shadow=shadow)
    assert [event.before for event in events] == [one, two, one, pb.AliasState()]
    assert [event.after for event in events] == [pb.AliasState(), one, two, one]
    assert [event.restored_revision for event in events] == [0, 1, 0, 0]
    assert {(event.actor, event.reason) for event in events} == {("ann", "why")}

    until = Timestamp()
    until.FromDatetime(datetime(2020, 1, 1, tzinfo=UTC))
    early = pb.ListAliasEventsRequest(model="movies", alias="candidate", until=until)
    assert not (await server.models.ListAliasEvents(early)).events
    early.until.CopyFrom(events[2].time)
    assert list((await server.models.ListAliasEvents(early)).events) == events[2:]


async def test_a_rollback_that_leads_nowhere_is_refused(serve: MakeServer, registry: Registry) -> None:
    server = await serve(poll_seconds=60)  # and so holds nothing that is to be deleted
    publish(registry)
    request = pb.RollbackAliasRequest(model="movies", alias="production")
    found = await failure(server.models.RollbackAlias(request))
    assert (found.code, found.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "ROLLBACK_TARGET_MISSING")
    publish(registry, seed=1, promote_to="production")
    registry.models.delete_version("movies", 1)
    found = await failure(server.models.RollbackAlias(request))
    assert found.reason == "ROLLBACK_TARGET_MISSING"
    assert found.metadata == {"model": "movies", "alias": "production", "version": "1"}
    request.expected_revision = 1
    found = await failure(server.models.RollbackAlias(request))
    assert (found.code, found.metadata["revision"]) == (grpc.StatusCode.ABORTED, "2")


@pytest.mark.parametrize(
    ("method", "request_", "reason", "field"),
    [
        ("DeleteAlias", pb.DeleteAliasRequest(), "INVALID_FIELD", "expected_revision"),
        ("DeleteAlias", pb.DeleteAliasRequest(expected_revision=1), "ALIAS_NOT_FOUND", "alias"),
        (
            "DeleteAlias",
            pb.DeleteAliasRequest(alias="latest", expected_revision=1),
            "ALIAS_RESERVED",
            "alias",
        ),
        (
            "DeleteAlias",
            pb.DeleteAliasRequest(alias="production", expected_revision=2),
            "REVISION_MISMATCH",
            "expected_revision",
        ),
        ("RollbackAlias", pb.RollbackAliasRequest(), "ALIAS_NOT_FOUND", "alias"),
        ("RollbackAlias", pb.RollbackAliasRequest(alias="latest"), "ALIAS_RESERVED", "alias"),
        (
            "RollbackAlias",
            pb.RollbackAliasRequest(expected_revision=-1),
            "INVALID_FIELD",
            "expected_revision",
        ),
        ("ListAliasEvents", pb.ListAliasEventsRequest(), "ALIAS_NOT_FOUND", "alias"),
        ("ListAliasEvents", pb.ListAliasEventsRequest(page_size=1001), "INVALID_FIELD", "page_size"),
        ("ListAliasEvents", pb.ListAliasEventsRequest(page_token="x"), "PAGE_TOKEN_INVALID", "page_token"),
        (
            "ListAliasEvents",
            pb.ListAliasEventsRequest(until=Timestamp(seconds=2**60)),
            "INVALID_FIELD",
            "until",
        ),
    ],
)
async def test_what_is_wrong_is_told(
    method: str, request_: Any, reason: str, field: str, server: Server, registry: Registry
) -> None:
    publish(registry)
    asked = type(request_)(model="movies", alias=request_.alias or "candidate")
    asked.MergeFrom(request_)
    found = await failure(getattr(server.models, method)(asked))
    assert (found.reason, found.fields) == (reason, [field])
    if not request_.alias:
        asked.model = "none"
        wanted = reason if found.code is grpc.StatusCode.INVALID_ARGUMENT else "MODEL_NOT_FOUND"
        assert (await failure(getattr(server.models, method)(asked))).reason == wanted
