"""The changes of an alias, each within a transaction that writes.

Such transactions come one by one, on every database: none of them decides on what another is just changing, and of two
who make one new alias the second finds it there.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from mfserve_registry.aliases.rows import alias_from_row, columns_of, event_of
from mfserve_registry.aliases.types import Alias, AliasAction, AliasEvent, AliasState, AliasTarget
from mfserve_registry.errors import Aborted
from mfserve_registry.tables import alias_events, aliases


def current(connection: Connection, model: str, alias: str) -> Alias | None:
    """The alias; None where it was never made or is deleted."""
    row = connection.execute(
        select(aliases).where(
            aliases.c.model == model, aliases.c.alias == alias, aliases.c.deleted_at.is_(None)
        )
    ).first()
    return None if row is None else alias_from_row(row)


def compare(model: str, alias: str, found: Alias | None, expected_revision: int) -> None:
    """Aborted REVISION_MISMATCH unless the alias has the revision; 0 is that of an alias that does not exist."""
    revision = 0 if found is None else found.revision
    if revision != expected_revision:
        now = (
            f"does not exist, so that it is not at revision {expected_revision}"
            if found is None
            else f"is at revision {revision}, not {expected_revision}: it was changed in the meantime"
        )
        raise Aborted(
            f"The alias {alias} of model {model} {now}. Read it again and decide again.",
            reason="REVISION_MISMATCH",
            field="expected_revision",
            metadata={"model": model, "alias": alias, "revision": str(revision)},
        )


def change(
    connection: Connection,
    model: str,
    alias: str,
    after: AliasState,
    action: AliasAction,
    *,
    now: datetime,
    reason: str,
    actor: str,
    restored_revision: int | None = None,
) -> Alias:
    """Makes the alias what ``after`` says, with no target deleted, and writes down that it did."""
    key = (aliases.c.model == model) & (aliases.c.alias == alias)
    row = connection.execute(select(aliases).where(key)).first()
    revision = 1 if row is None else row.revision + 1
    targets, shadow = columns_of(after)
    values = {
        "targets": targets,
        "shadow": shadow,
        "revision": revision,
        "updated_at": now,
        "deleted_at": None if after.targets else now,
    }
    if row is None:
        connection.execute(insert(aliases).values(model=model, alias=alias, **values))
    else:
        connection.execute(update(aliases).where(key).values(**values))
    connection.execute(
        insert(alias_events).values(
            model=model,
            alias=alias,
            revision=revision,
            action=action,
            from_targets=[] if row is None else row.targets,
            from_shadow=None if row is None else row.shadow,
            to_targets=targets,
            to_shadow=shadow,
            actor=actor,
            reason=reason,
            at=now,
            restored_revision=restored_revision,
        )
    )
    return Alias(model, alias, after, revision, now)


def point(
    connection: Connection,
    model: str,
    alias: str,
    version: int,
    action: AliasAction,
    *,
    now: datetime,
    reason: str,
    actor: str,
) -> None:
    """Moves the alias to the one version, whatever its revision was."""
    after = AliasState((AliasTarget(version, 1),))
    change(connection, model, alias, after, action, now=now, reason=reason, actor=actor)


def before(connection: Connection, alias: Alias) -> AliasEvent | None:
    """The change that made what a rollback brings back: the last state that differs from the present one.

    What was rolled back counts no more, so that a second rollback goes on further into the past and not back to what
    the first one left. Nor does the time in which the alias was deleted. None: it never named anything else.
    """
    revision = alias.revision
    while (event := event_of(connection, alias.model, alias.alias, revision)) is not None:
        if event.after.targets and event.after != alias.state:
            return event
        revision = (event.restored_revision or event.revision) - 1
    return None
