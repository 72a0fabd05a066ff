"""Models and their versions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, select, tuple_

from mfserve_registry.aliases import Alias, ResolvedVersion, alias_from_row, aliases_of
from mfserve_registry.artifacts import ArtifactInfo, artifacts_of
from mfserve_registry.database import Database
from mfserve_registry.deletion import delete_model, delete_version
from mfserve_registry.errors import InvalidArgument, NotFound
from mfserve_registry.gates import GateReport
from mfserve_registry.lookup import require_alias, require_model, require_version
from mfserve_registry.names import LATEST, PRODUCTION, check_alias
from mfserve_registry.pages import DEFAULT_PAGE_SIZE, Page, check_page_size, decode_token
from mfserve_registry.tables import models, snapshots, versions


@dataclass(frozen=True, slots=True)
class Model:
    """A line of versions.

    Attributes:
        model: its name.
        latest_version: the highest number given so far.
        aliases: by name.
        created_at: when its first version was published.
    """

    model: str
    latest_version: int
    aliases: tuple[Alias, ...]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Version:
    """A published snapshot under a model's name.

    Attributes:
        model: name of the model.
        version: 1 or more; never reused within a model.
        digest: the snapshot's digest, 64 hex digits.
        job_id: the job that made it, or None.
        attempt: the attempt of the job that published it, or None.
        created_at: when it was published.
        metrics: metrics of the holdout fit, JSON values as the publisher gave them.
        facts: what else the publisher wants in lists of versions, JSON values.
        gates: what the promotion gates found; None where they did not run.
        aliases: names of the aliases that name it, if only as their shadow; sorted.
        size_bytes: size of the snapshot's files.
        artifacts: the files that hang on it, by name.
    """

    model: str
    version: int
    digest: str
    job_id: str | None
    attempt: int | None
    created_at: datetime
    metrics: Mapping[str, Any]
    facts: Mapping[str, Any]
    gates: GateReport | None
    aliases: tuple[str, ...]
    size_bytes: int
    artifacts: tuple[ArtifactInfo, ...]


class Models:
    """Reads and deletes models and versions. NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND, ALIAS_NOT_FOUND."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, model: str) -> Model:
        with self._database.read() as connection:
            row = require_model(connection, model)
            return _model(row, aliases_of(connection, [model]))

    def list(self, *, page_size: int = DEFAULT_PAGE_SIZE, page_token: str = "") -> Page[Model]:
        """Models by name."""
        check_page_size(page_size)
        scope = ("models",)
        after = decode_token(scope, page_token, str)
        query = (
            select(models).where(models.c.deleted_at.is_(None)).order_by(models.c.name).limit(page_size + 1)
        )
        if after is not None:
            query = query.where(models.c.name > after)
        with self._database.read() as connection:
            rows = connection.execute(query).all()
            named = aliases_of(connection, [row.name for row in rows])
        return Page.of([_model(row, named) for row in rows], page_size, scope, lambda model: model.model)

    def get_version(self, model: str, version: int, field: str = "version") -> Version:
        """The version; ``field`` is the one that an error blames."""
        with self._database.read() as connection:
            return version_of(connection, model, version, field)

    def list_versions(
        self, model: str, *, page_size: int = DEFAULT_PAGE_SIZE, page_token: str = ""
    ) -> Page[Version]:
        """Versions of a model, the newest first."""
        check_page_size(page_size)
        scope = ("versions", model)
        before = decode_token(scope, page_token, int)
        query = (
            select(versions)
            .where(versions.c.model == model, versions.c.deleted_at.is_(None))
            .order_by(versions.c.version.desc())
            .limit(page_size + 1)
        )
        if before is not None:
            query = query.where(versions.c.version < before)
        with self._database.read() as connection:
            require_model(connection, model)
            found = _versions(connection, model, connection.execute(query).all())
        return Page.of(found, page_size, scope, lambda version: version.version)

    def resolve(self, model: str, *, version: int | None = None, alias: str | None = None) -> ResolvedVersion:
        """What a caller means who names a model and a version, an alias or neither (``production``).

        Raises:
            InvalidArgument: a bad name, a version below 1, or a version and an alias.
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND, ALIAS_NOT_FOUND.
        """
        if version is not None and alias is not None:
            raise InvalidArgument("Name a version or an alias, not both.", field="version")
        if version is not None and version < 1:
            raise InvalidArgument("A version is 1 or more.", field="version")
        with self._database.read() as connection:
            if version is None:
                alias = check_alias(PRODUCTION if alias is None else alias)
                version = (
                    _latest(connection, model)
                    if alias == LATEST
                    else alias_from_row(require_alias(connection, model, alias)).targets[0].version
                )
            row = require_version(connection, model, version)
            return ResolvedVersion(model, version, row.digest, alias)

    def delete_version(self, model: str, version: int) -> None:
        """Takes a version away, for good: its number is never given out again.

        Raises:
            FailedPrecondition: VERSION_IN_USE; its metadata has the ``aliases`` that name it and the ``servers`` that
                answer from it for an alias, or hold streams on it.
        """
        with self._database.write() as connection:
            delete_version(connection, model, version, self._database.now())

    def delete(self, model: str) -> None:
        """Takes a model away with all its versions. The history of its aliases stays.

        Its name may be trained again; the numbers of versions then go on.

        Raises:
            FailedPrecondition: MODEL_IN_USE; its metadata has its ``aliases``, the ``servers`` that hold streams on it,
                and the ``jobs`` that have yet to end.
        """
        with self._database.write() as connection:
            delete_model(connection, model, self._database.now())

    def digests(self, numbers: Collection[tuple[str, int]]) -> dict[tuple[str, int], str | None]:
        """The digests of versions (model, number), None of those that were deleted.

        Those that the registry never knew are not among them.
        """
        query = select(versions.c.model, versions.c.version, versions.c.digest, versions.c.deleted_at).where(
            tuple_(versions.c.model, versions.c.version).in_(numbers)
        )
        with self._database.read() as connection:
            return {
                (row.model, row.version): row.digest if row.deleted_at is None else None
                for row in connection.execute(query)
            }


def version_of(connection: Connection, model: str, version: int, field: str = "version") -> Version:
    """The version, within a transaction that is under way."""
    return _versions(connection, model, [require_version(connection, model, version, field)])[0]


def _latest(connection: Connection, model: str) -> int:
    require_model(connection, model)
    highest = connection.execute(
        select(func.max(versions.c.version)).where(versions.c.model == model, versions.c.deleted_at.is_(None))
    ).scalar()
    if highest is None:
        raise NotFound(
            f"Model {model} has no version.",
            reason="VERSION_NOT_FOUND",
            field="model",
            metadata={"model": model},
        )
    return int(highest)


def _model(row: Row[Any], named: Mapping[str, Sequence[Alias]]) -> Model:
    return Model(row.name, row.last_version, tuple(named.get(row.name, ())), row.created_at)


def _versions(connection: Connection, model: str, rows: Sequence[Row[Any]]) -> list[Version]:
    files = artifacts_of(connection, model, [row.version for row in rows])
    sizes: dict[str, int] = {
        row.digest: row.size_bytes
        for row in connection.execute(
            select(snapshots.c.digest, snapshots.c.size_bytes).where(
                snapshots.c.digest.in_({row.digest for row in rows})
            )
        )
    }
    names: dict[int, list[str]] = {}
    for alias in aliases_of(connection, [model]).get(model, []):
        for version in alias.state.versions:
            names.setdefault(version, []).append(alias.alias)
    return [
        Version(
            model=model,
            version=row.version,
            digest=row.digest,
            job_id=row.job_id,
            attempt=row.attempt,
            created_at=row.created_at,
            metrics=row.metrics,
            facts=row.facts,
            gates=None if row.gates is None else GateReport.model_validate(row.gates),
            aliases=tuple(names.get(row.version, ())),
            size_bytes=sizes[row.digest],
            artifacts=tuple(files.get(row.version, ())),
        )
        for row in rows
    ]
