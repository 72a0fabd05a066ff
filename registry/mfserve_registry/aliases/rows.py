"""Aliases as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from mfserve_registry.aliases.types import (
    Alias,
    AliasAction,
    AliasEvent,
    AliasShadow,
    AliasState,
    AliasTarget,
)
from mfserve_registry.tables import alias_events, aliases


def alias_from_row(row: Row[Any]) -> Alias:
    return Alias(row.model, row.alias, state_from(row.targets, row.shadow), row.revision, row.updated_at)


def event_from_row(row: Row[Any]) -> AliasEvent:
    return AliasEvent(
        revision=row.revision,
        action=AliasAction(row.action),
        before=state_from(row.from_targets, row.from_shadow),
        after=state_from(row.to_targets, row.to_shadow),
        actor=row.actor,
        reason=row.reason,
        at=row.at,
        restored_revision=row.restored_revision,
    )


def state_from(targets: Sequence[Sequence[int]], shadow: dict[str, Any] | None) -> AliasState:
    """From the columns ``targets`` and ``shadow``."""
    by_weight = sorted((AliasTarget(*target) for target in targets), key=lambda t: (-t.weight, t.version))
    return AliasState(tuple(by_weight), None if shadow is None else AliasShadow(**shadow))


def columns_of(state: AliasState) -> tuple[list[list[int]], dict[str, Any] | None]:
    """The columns ``targets`` and ``shadow``."""
    shadow = state.shadow
    return (
        [[target.version, target.weight] for target in state.targets],
        None if shadow is None else {"version": shadow.version, "share": shadow.share},
    )


def aliases_of(connection: Connection, names: list[str]) -> dict[str, list[Alias]]:
    """The aliases of several models, by name."""
    rows = connection.execute(
        select(aliases)
        .where(aliases.c.model.in_(names), aliases.c.deleted_at.is_(None))
        .order_by(aliases.c.model, aliases.c.alias)
    )
    found: dict[str, list[Alias]] = {}
    for row in rows:
        found.setdefault(row.model, []).append(alias_from_row(row))
    return found


def event_of(connection: Connection, model: str, alias: str, revision: int) -> AliasEvent | None:
    """The change that made the alias's revision; None before the first."""
    row = connection.execute(
        select(alias_events).where(
            alias_events.c.model == model, alias_events.c.alias == alias, alias_events.c.revision == revision
        )
    ).first()
    return None if row is None else event_from_row(row)
