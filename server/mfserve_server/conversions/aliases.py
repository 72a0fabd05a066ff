"""Aliases and their history, as messages, and changes of them, from messages."""

from __future__ import annotations

from mfserve.v1 import model_service_pb2 as pb
from mfserve_registry import Alias, AliasEvent, AliasShadow, AliasState, AliasTarget
from mfserve_server.conversions.times import timestamp


def alias_message(alias: Alias) -> pb.Alias:
    return pb.Alias(
        alias=alias.alias,
        targets=_targets(alias.state),
        revision=alias.revision,
        update_time=timestamp(alias.updated_at),
        shadow=_shadow(alias.state),
    )


def event_message(event: AliasEvent) -> pb.AliasEvent:
    return pb.AliasEvent(
        revision=event.revision,
        action=pb.AliasAction.Value(f"ALIAS_ACTION_{event.action.name}"),
        before=_state_message(event.before),
        after=_state_message(event.after),
        actor=event.actor,
        reason=event.reason,
        time=timestamp(event.at),
        restored_revision=event.restored_revision or 0,
    )


def targets_of(request: pb.SetAliasRequest) -> list[AliasTarget]:
    return [AliasTarget(target.version, target.weight) for target in request.targets]


def shadow_of(request: pb.SetAliasRequest) -> AliasShadow | None:
    if not request.HasField("shadow"):
        return None
    return AliasShadow(request.shadow.version, request.shadow.share)


def _state_message(state: AliasState) -> pb.AliasState:
    return pb.AliasState(targets=_targets(state), shadow=_shadow(state))


def _targets(state: AliasState) -> list[pb.AliasTarget]:
    return [pb.AliasTarget(version=target.version, weight=target.weight) for target in state.targets]


def _shadow(state: AliasState) -> pb.AliasShadow | None:
    shadow = state.shadow
    return None if shadow is None else pb.AliasShadow(version=shadow.version, share=shadow.share)
