"""Aliases: names for the version that callers should get, moved by compare-and-swap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from mfserve_registry.database import Database
from mfserve_registry.errors import Aborted, InvalidArgument
from mfserve_registry.lookup import require_alias, require_model, require_version
from mfserve_registry.names import check_settable_alias
from mfserve_registry.tables import alias_events, aliases, models, versions

MAX_REASON = 1000
MAX_ACTOR = 255


class AliasAction(StrEnum):
    """How an alias came to change."""

    FIRST_VERSION = "FIRST_VERSION"
    PROMOTED = "PROMOTED"
    SET = "SET"


@dataclass(frozen=True, slots=True)
class AliasTarget:
    """One version that an alias names.

    Attributes:
        version: its number.
        weight: its share of the calls is this over the sum of the alias's weights; 1 or more.
    """

    version: int
    weight: int


@dataclass(frozen=True, slots=True)
class Alias:
    """A name for versions of a model.

    Attributes:
        model: name of the model.
        alias: the name.
        targets: the versions, the one of the highest weight first.
        revision: counts the changes, from 1.
        updated_at: when it was last changed.
    """

    model: str
    alias: str
    targets: tuple[AliasTarget, ...]
    revision: int
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ResolvedVersion:
    """What a name came to.

    Attributes:
        model: name of the model.
        version: number of the version.
        digest: the snapshot's digest.
        alias: the alias that was followed; None where the version was asked for by number.
    """

    model: str
    version: int
    digest: str
    alias: str | None


class Aliases:
    """Reads and moves aliases."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, model: str, alias: str) -> Alias:
        """NotFound: MODEL_NOT_FOUND, ALIAS_NOT_FOUND."""
        with self._database.read() as connection:
            return alias_from_row(require_alias(connection, model, alias))

    def list(self, model: str) -> Sequence[Alias]:
        """A model's aliases, by name. NotFound: MODEL_NOT_FOUND."""
        with self._database.read() as connection:
            require_model(connection, model)
            return aliases_of(connection, [model]).get(model, [])

    def aliased(self) -> Sequence[ResolvedVersion]:
        """Every version that any alias names, once per alias; by model, alias and version. For servers to watch."""
        query = (
            select(aliases.c.model, aliases.c.alias, aliases.c.targets)
            .join(models, models.c.name == aliases.c.model)
            .where(aliases.c.deleted_at.is_(None), models.c.deleted_at.is_(None))
            .order_by(aliases.c.model, aliases.c.alias)
        )
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            named = {(row.model, version) for row in rows for version, _ in row.targets}
            digests = _digests(connection, named)
        return [
            ResolvedVersion(row.model, version, digests[row.model, version], row.alias)
            for row in rows
            for version, _ in sorted(row.targets)
        ]

    def set(
        self,
        model: str,
        alias: str,
        version: int,
        *,
        expected_revision: int,
        reason: str = "",
        actor: str = "",
    ) -> Alias:
        """Points an alias to a version, if nobody has changed it since it was read.

        Args:
            expected_revision: the revision that it was read at; 0: it does not exist yet.
            reason: why, for the history; at most 1,000 characters.
            actor: who, for the history; at most 255 characters.

        Raises:
            InvalidArgument: a bad name, a negative revision, a text too long.
            FailedPrecondition: ALIAS_RESERVED for ``latest``.
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND.
            Aborted: REVISION_MISMATCH; its metadata has the ``revision`` found.
        """
        check_settable_alias(alias)
        if expected_revision < 0:
            raise InvalidArgument("A revision is 0 or more.", field="expected_revision")
        for field, text, limit in (("reason", reason, MAX_REASON), ("actor", actor, MAX_ACTOR)):
            if len(text) > limit:
                raise InvalidArgument(f"At most {limit} characters.", field=field)
        with self._database.write() as connection:
            require_version(connection, model, version)
            before = _locked(connection, model, alias)
            found = before.revision if before is not None and before.deleted_at is None else 0
            if found != expected_revision:
                raise Aborted(
                    f"The alias {alias} of model {model} is at revision {found}, not {expected_revision}: "
                    "it was changed in the meantime. Read it again and decide again.",
                    reason="REVISION_MISMATCH",
                    field="expected_revision",
                    metadata={"model": model, "alias": alias, "revision": str(found)},
                )
            now = self._database.now()
            point(connection, model, alias, version, AliasAction.SET, now=now, reason=reason, actor=actor)
            return alias_from_row(require_alias(connection, model, alias))


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
    """Moves the alias to the one version and writes down that it did, whatever the revision was."""
    before = _locked(connection, model, alias)
    after = {
        "targets": [[version, 1]],
        "shadow": None,
        "revision": 1 if before is None else before.revision + 1,
        "updated_at": now,
        "deleted_at": None,
    }
    if before is None:
        connection.execute(insert(aliases).values(model=model, alias=alias, **after))
    else:
        connection.execute(
            update(aliases).where(aliases.c.model == model, aliases.c.alias == alias).values(**after)
        )
    existed = before is not None and before.deleted_at is None
    connection.execute(
        insert(alias_events).values(
            model=model,
            alias=alias,
            revision=after["revision"],
            action=action,
            from_targets=before.targets if before is not None and existed else [],
            from_shadow=before.shadow if before is not None and existed else None,
            to_targets=after["targets"],
            to_shadow=None,
            actor=actor,
            reason=reason,
            at=now,
        )
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


def alias_from_row(row: Row[Any]) -> Alias:
    targets = sorted((AliasTarget(*target) for target in row.targets), key=lambda t: (-t.weight, t.version))
    return Alias(row.model, row.alias, tuple(targets), row.revision, row.updated_at)


def _locked(connection: Connection, model: str, alias: str) -> Row[Any] | None:
    return connection.execute(
        select(aliases).where(aliases.c.model == model, aliases.c.alias == alias).with_for_update()
    ).first()


def _digests(connection: Connection, named: set[tuple[str, int]]) -> dict[tuple[str, int], str]:
    rows = connection.execute(
        select(versions.c.model, versions.c.version, versions.c.digest).where(
            versions.c.model.in_({model for model, _ in named}),
            versions.c.version.in_({version for _, version in named}),
        )
    )
    return {(row.model, row.version): row.digest for row in rows}
