"""Aliases as callers and servers read and move them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import Connection, select, tuple_

from mfserve_registry.aliases.checks import check_revision, check_texts, wanted_state
from mfserve_registry.aliases.moves import before, change, compare, current
from mfserve_registry.aliases.rows import alias_from_row, aliases_of, event_from_row
from mfserve_registry.aliases.types import (
    Alias,
    AliasAction,
    AliasEvent,
    AliasShadow,
    AliasState,
    AliasTarget,
    ResolvedAlias,
    ResolvedVersion,
)
from mfserve_registry.database import Database
from mfserve_registry.errors import FailedPrecondition, NotFound
from mfserve_registry.lookup import require_alias, require_model, require_version
from mfserve_registry.names import check_settable_alias
from mfserve_registry.pages import DEFAULT_PAGE_SIZE, Page, check_page_size, decode_token
from mfserve_registry.tables import alias_events, aliases, models, versions


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

    def aliased(self) -> Sequence[ResolvedAlias]:
        """Every alias, with the versions that it names; by model and alias. For servers to watch."""
        query = (
            select(aliases)
            .join(models, models.c.name == aliases.c.model)
            .where(aliases.c.deleted_at.is_(None), models.c.deleted_at.is_(None))
            .order_by(aliases.c.model, aliases.c.alias)
        )
        with self._database.read() as connection:
            return _resolved(connection, [alias_from_row(row) for row in connection.execute(query)])

    def resolve(self, model: str, alias: str) -> ResolvedAlias:
        """The alias, with the versions that it names. NotFound: MODEL_NOT_FOUND, ALIAS_NOT_FOUND."""
        with self._database.read() as connection:
            return _resolved(connection, [alias_from_row(require_alias(connection, model, alias))])[0]

    def deleted(self, names: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Those of the names (model, alias) that were deleted. One that the registry never knew is not."""
        query = select(aliases.c.model, aliases.c.alias).where(
            aliases.c.deleted_at.is_not(None), tuple_(aliases.c.model, aliases.c.alias).in_(names)
        )
        with self._database.read() as connection:
            return {(row.model, row.alias) for row in connection.execute(query)}

    def events(
        self,
        model: str,
        alias: str,
        *,
        until: datetime | None = None,
        page_size: int = DEFAULT_PAGE_SIZE,
        page_token: str = "",
    ) -> Page[AliasEvent]:
        """The changes of an alias, the newest first; also of one that is deleted, or whose model is.

        Args:
            until: only those up to this moment, so that the first is the one that made the alias what it then was.

        Raises:
            InvalidArgument: a bad page size or token.
            NotFound: MODEL_NOT_FOUND, ALIAS_NOT_FOUND: there never was one.
        """
        check_page_size(page_size)
        scope = ("alias_events", model, alias, "" if until is None else until.isoformat())
        last = decode_token(scope, page_token, int)
        query = (
            select(alias_events)
            .where(alias_events.c.model == model, alias_events.c.alias == alias)
            .order_by(alias_events.c.revision.desc())
            .limit(page_size + 1)
        )
        if until is not None:
            query = query.where(alias_events.c.at <= until)
        if last is not None:
            query = query.where(alias_events.c.revision < last)
        with self._database.read() as connection:
            found = [event_from_row(row) for row in connection.execute(query)]
            if not found and last is None:
                _require_past(connection, model, alias)
        return Page.of(found, page_size, scope, lambda event: event.revision)

    def set(
        self,
        model: str,
        alias: str,
        version: int | None = None,
        *,
        targets: Sequence[AliasTarget] = (),
        shadow: AliasShadow | None = None,
        expected_revision: int,
        reason: str = "",
        actor: str = "",
    ) -> Alias:
        """Points an alias to versions, if nobody has changed it since it was read.

        Args:
            version: the one version that it is to name; or else
            targets: several, 1 to 10, with their weights, 1 to 1,000,000.
            shadow: a further version to ask beside them; none: none, also where there was one.
            expected_revision: the revision that it was read at; 0: it does not exist yet.
            reason: why, for the history; at most 1,000 characters.
            actor: who, for the history; at most 255 characters.

        Raises:
            InvalidArgument: a bad name, weight or share, a version twice, a negative revision, a text too long.
            FailedPrecondition: ALIAS_RESERVED for ``latest``.
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND.
            Aborted: REVISION_MISMATCH; its metadata has the ``revision`` found.
        """
        check_settable_alias(alias)
        check_revision(expected_revision)
        check_texts(reason, actor)
        after = wanted_state(version, targets, shadow)
        with self._database.write() as connection:
            require_model(connection, model)
            for place, target in enumerate(targets):
                require_version(connection, model, target.version, f"targets[{place}].version")
            if version is not None:
                require_version(connection, model, version)
            if shadow is not None:
                require_version(connection, model, shadow.version, "shadow.version")
            compare(model, alias, current(connection, model, alias), expected_revision)
            now = self._database.now()
            return change(
                connection, model, alias, after, AliasAction.SET, now=now, reason=reason, actor=actor
            )

    def delete(
        self, model: str, alias: str, *, expected_revision: int, reason: str = "", actor: str = ""
    ) -> None:
        """Takes an alias away. Its history stays, and its revisions go on if it is made again.

        Args:
            expected_revision, reason, actor: as for ``set``.

        Raises:
            InvalidArgument: a bad name, a negative revision, a text too long.
            FailedPrecondition: ALIAS_RESERVED for ``latest``.
            NotFound: MODEL_NOT_FOUND, ALIAS_NOT_FOUND.
            Aborted: REVISION_MISMATCH; its metadata has the ``revision`` found.
        """
        check_settable_alias(alias)
        check_revision(expected_revision)
        check_texts(reason, actor)
        with self._database.write() as connection:
            require_model(connection, model)
            found = alias_from_row(require_alias(connection, model, alias))
            compare(model, alias, found, expected_revision)
            now, nothing = self._database.now(), AliasState()
            change(
                connection, model, alias, nothing, AliasAction.DELETED, now=now, reason=reason, actor=actor
            )

    def roll_back(
        self,
        model: str,
        alias: str,
        *,
        expected_revision: int | None = None,
        reason: str = "",
        actor: str = "",
    ) -> Alias:
        """Points an alias to what it named before, by its history; again, to what it named before that.

        Args:
            expected_revision: the revision that it was read at; None: whatever it has.
            reason, actor: as for ``set``.

        Raises:
            InvalidArgument: a bad name, a negative revision, a text too long.
            FailedPrecondition: ALIAS_RESERVED for ``latest``; ROLLBACK_TARGET_MISSING: it never named anything else,
                or a version of what it named is deleted.
            NotFound: MODEL_NOT_FOUND, ALIAS_NOT_FOUND.
            Aborted: REVISION_MISMATCH; its metadata has the ``revision`` found.
        """
        check_settable_alias(alias)
        check_revision(expected_revision or 0)
        check_texts(reason, actor)
        with self._database.write() as connection:
            require_model(connection, model)
            found = alias_from_row(require_alias(connection, model, alias))
            if expected_revision is not None:
                compare(model, alias, found, expected_revision)
            past = _deployable_past(connection, found)
            return change(
                connection,
                model,
                alias,
                past.after,
                AliasAction.ROLLED_BACK,
                now=self._database.now(),
                reason=reason,
                actor=actor,
                restored_revision=past.restored_revision or past.revision,
            )


def _deployable_past(connection: Connection, alias: Alias) -> AliasEvent:
    past = before(connection, alias)
    if past is None:
        raise FailedPrecondition(
            f"The alias {alias.alias} of model {alias.model} has named nothing else before.",
            reason="ROLLBACK_TARGET_MISSING",
            field="alias",
            metadata={"model": alias.model, "alias": alias.alias},
        )
    for version in past.after.versions:
        try:
            require_version(connection, alias.model, version)
        except NotFound as error:
            raise FailedPrecondition(
                f"The alias {alias.alias} of model {alias.model} named version {version} before, which is deleted. "
                "Point it to another one.",
                reason="ROLLBACK_TARGET_MISSING",
                field="alias",
                metadata={"model": alias.model, "alias": alias.alias, "version": str(version)},
            ) from error
    return past


def _require_past(connection: Connection, model: str, alias: str) -> None:
    """NotFound unless there is such an alias, or was."""
    known = select(aliases.c.alias).where(aliases.c.model == model, aliases.c.alias == alias)
    if connection.execute(known).first() is None:
        require_alias(connection, model, alias)


def _resolved(connection: Connection, found: Sequence[Alias]) -> list[ResolvedAlias]:
    named = {(alias.model, version) for alias in found for version in alias.state.versions}
    digests = _digests(connection, named)
    return [
        ResolvedAlias(
            alias.model,
            alias.alias,
            alias.state,
            tuple(
                ResolvedVersion(alias.model, version, digests[alias.model, version], alias.alias)
                for version in alias.state.versions
            ),
        )
        for alias in found
    ]


def _digests(connection: Connection, named: set[tuple[str, int]]) -> dict[tuple[str, int], str]:
    rows = connection.execute(
        select(versions.c.model, versions.c.version, versions.c.digest).where(
            versions.c.model.in_({model for model, _ in named}),
            versions.c.version.in_({version for _, version in named}),
        )
    )
    return {(row.model, row.version): row.digest for row in rows}
