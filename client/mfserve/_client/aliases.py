"""ModelService's calls about aliases: requests from arguments, answers into types."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Mapping
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from mfserve._client.arguments import ArgumentValueError, built, each, given, text, within
from mfserve._client.calls import Paged, Unary
from mfserve._client.common import moment
from mfserve._client.names import ALIAS_ACTION
from mfserve._types.aliases import Alias, AliasEvent, AliasShadow, AliasState, AliasTarget
from mfserve.v1 import model_service_pb2 as pb

Targets = Mapping[int, int]
"""Versions with their weights."""
Shadow = AliasShadow | tuple[int, float]
"""A version, and its share of the calls."""

_MAX_ACTOR = 255


def set_alias(
    model: str,
    alias: str,
    version: int | None,
    targets: Targets | None,
    shadow: Shadow | None,
    expected_revision: int,
    reason: str,
    actor: str | None,
) -> Unary[pb.SetAliasRequest, pb.SetAliasResponse, Alias]:
    """Points an alias to versions."""
    if (version is None) == (targets is None):
        raise TypeError("give either a version or targets")
    request = built(
        pb.SetAliasRequest,
        model=text("model", model),
        alias=text("alias", alias),
        version=version or 0,
        targets=_target_messages(targets or {}),
        shadow=None if shadow is None else _shadow_message(shadow),
        expected_revision=expected_revision,
        reason=text("reason", reason),
        actor=_actor(actor),
    )
    return Unary(lambda stubs: stubs.model.SetAlias, request, lambda response: alias_from(response.alias))


def promote(
    model: str,
    version: int,
    alias: str,
    expected_revision: int | None,
    reason: str,
    actor: str | None,
    *,
    force: bool,
) -> Unary[pb.PromoteModelVersionRequest, pb.PromoteModelVersionResponse, Alias]:
    """Points an alias to a version that its gates let through."""
    request = built(
        pb.PromoteModelVersionRequest,
        model=text("model", model),
        version=version,
        alias=text("alias", alias),
        force=force,
        expected_revision=expected_revision,
        reason=text("reason", reason),
        actor=_actor(actor),
    )
    return Unary(
        lambda stubs: stubs.model.PromoteModelVersion, request, lambda response: alias_from(response.alias)
    )


def delete_alias(
    model: str, alias: str, expected_revision: int, reason: str, actor: str | None
) -> Unary[pb.DeleteAliasRequest, pb.DeleteAliasResponse, None]:
    """Takes an alias away."""
    request = built(
        pb.DeleteAliasRequest,
        model=text("model", model),
        alias=text("alias", alias),
        expected_revision=expected_revision,
        reason=text("reason", reason),
        actor=_actor(actor),
    )
    return Unary(lambda stubs: stubs.model.DeleteAlias, request, lambda response: None)


def rollback_alias(
    model: str, alias: str, expected_revision: int | None, reason: str, actor: str | None
) -> Unary[pb.RollbackAliasRequest, pb.RollbackAliasResponse, Alias]:
    """Points an alias to what it named before."""
    request = built(
        pb.RollbackAliasRequest,
        model=text("model", model),
        alias=text("alias", alias),
        expected_revision=expected_revision,
        reason=text("reason", reason),
        actor=_actor(actor),
    )
    return Unary(
        lambda stubs: stubs.model.RollbackAlias, request, lambda response: alias_from(response.alias)
    )


def list_alias_events(
    model: str, alias: str, until: datetime | None, page_size: int
) -> Paged[pb.ListAliasEventsRequest, pb.ListAliasEventsResponse, AliasEvent]:
    """The changes of an alias."""
    last = None if until is None else _timestamp("until", until)
    return Paged(
        lambda stubs: stubs.model.ListAliasEvents,
        lambda token: built(
            pb.ListAliasEventsRequest,
            model=text("model", model),
            alias=text("alias", alias),
            until=last,
            page_size=page_size,
            page_token=token,
        ),
        lambda response: ([_event(e) for e in response.events], response.next_page_token),
    )


def alias_at(
    model: str, alias: str, time: datetime
) -> Unary[pb.ListAliasEventsRequest, pb.ListAliasEventsResponse, AliasEvent | None]:
    """The change that made an alias what it was at a time."""
    request = pb.ListAliasEventsRequest(
        model=text("model", model), alias=text("alias", alias), until=_timestamp("time", time), page_size=1
    )
    return Unary(lambda stubs: stubs.model.ListAliasEvents, request, _in_force)


def alias_from(message: pb.Alias) -> Alias:
    """An alias."""
    return Alias(
        alias=message.alias,
        targets=_targets(message),
        revision=message.revision,
        update_time=moment(message, "update_time"),
        shadow=_shadow(message),
    )


def _in_force(response: pb.ListAliasEventsResponse) -> AliasEvent | None:
    found = next(map(_event, response.events), None)
    return found if found is not None and found.after.targets else None


def _event(message: pb.AliasEvent) -> AliasEvent:
    return AliasEvent(
        revision=message.revision,
        action=ALIAS_ACTION.read(message.action),
        before=AliasState(_targets(message.before), _shadow(message.before)),
        after=AliasState(_targets(message.after), _shadow(message.after)),
        actor=message.actor,
        reason=message.reason,
        time=moment(message, "time"),
        restored_revision=message.restored_revision or None,
    )


def _targets(message: pb.Alias | pb.AliasState) -> tuple[AliasTarget, ...]:
    return tuple(AliasTarget(target.version, target.weight) for target in message.targets)


def _shadow(message: pb.Alias | pb.AliasState) -> AliasShadow | None:
    if not message.HasField("shadow"):
        return None
    return AliasShadow(message.shadow.version, message.shadow.share)


def _target_messages(targets: Targets) -> list[pb.AliasTarget]:
    if not isinstance(targets, Mapping):
        raise TypeError(
            f"targets must be a mapping of versions to weights, such as {{3: 90}}, not {given(targets)}"
        )
    return each(
        "targets", targets.items(), lambda pair: built(pb.AliasTarget, version=pair[0], weight=pair[1])
    )


def _shadow_message(shadow: Shadow) -> pb.AliasShadow:
    try:
        version, share = (shadow.version, shadow.share) if isinstance(shadow, AliasShadow) else shadow
    except (TypeError, ValueError):
        raise TypeError(
            f"shadow must be a version and a share, such as (5, 0.1), not {given(shadow)}"
        ) from None
    with within("shadow"):
        return built(pb.AliasShadow, version=version, share=share)


def _timestamp(name: str, time: datetime) -> Timestamp:
    if not isinstance(time, datetime):
        raise TypeError(f"{name} must be a datetime, not {given(time)}")
    if time.tzinfo is None:
        raise ArgumentValueError(f"{name} needs a time zone: {time} is another moment in another place")
    message = Timestamp()
    message.FromDatetime(time)
    return message


def _actor(named: str | None) -> str:
    """Who makes a change, for the alias's history: as the program says, or the user and the machine."""
    if named:
        return named
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"[:_MAX_ACTOR]
