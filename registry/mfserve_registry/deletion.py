"""Taking away versions and models, unless somebody needs them.

A version is needed by the aliases that name it, and by a live server process that answers from it for an alias (which
may have moved on to a version that the process cannot load) or holds streams on it, which no other version may go on
with. What a process has merely loaded because somebody asked for it by number it lets go of when it hears of the
deletion. A server tells of its streams every few seconds: a stream younger than that does not protect.

Rows are only marked, so that no number is given out twice; a model that is trained again goes on counting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import Connection, select, update

from mfserve_registry.aliases import aliases_of
from mfserve_registry.errors import FailedPrecondition
from mfserve_registry.jobs.types import JobState
from mfserve_registry.lookup import require_model, require_version
from mfserve_registry.tables import jobs, models, servers, serving_leases, versions


def delete_version(connection: Connection, model: str, version: int, now: datetime) -> None:
    """FailedPrecondition VERSION_IN_USE; NotFound MODEL_NOT_FOUND, VERSION_NOT_FOUND."""
    require_model(connection, model)
    require_version(connection, model, version)
    named = aliases_of(connection, [model]).get(model, [])
    uses = {
        "aliases": [alias.alias for alias in named if version in alias.state.versions],
        "servers": _servers(connection, model, {alias.alias for alias in named}, now, version=version),
    }
    facts = {"model": model, "version": str(version)}
    _refuse_if_used(
        uses, f"Version {version} of model {model}", facts, field="version", reason="VERSION_IN_USE"
    )
    connection.execute(
        update(versions)
        .where(versions.c.model == model, versions.c.version == version)
        .values(deleted_at=now)
    )


def delete_model(connection: Connection, model: str, now: datetime) -> None:
    """FailedPrecondition MODEL_IN_USE; NotFound MODEL_NOT_FOUND."""
    require_model(connection, model)
    named = [alias.alias for alias in aliases_of(connection, [model]).get(model, [])]
    uses = {
        "aliases": named,
        "servers": _servers(connection, model, set(named), now),
        "jobs": _unfinished_jobs(connection, model),
    }
    _refuse_if_used(uses, f"Model {model}", {"model": model}, field="model", reason="MODEL_IN_USE")
    connection.execute(
        update(versions)
        .where(versions.c.model == model, versions.c.deleted_at.is_(None))
        .values(deleted_at=now)
    )
    connection.execute(update(models).where(models.c.name == model).values(deleted_at=now))


_DOES = {
    "aliases": "it is named by the aliases",
    "servers": "it is held by the server processes",
    "jobs": "it is trained by the jobs",
}


def _refuse_if_used(
    uses: Mapping[str, Sequence[str]], what: str, facts: Mapping[str, str], *, field: str, reason: str
) -> None:
    found = {kind: ", ".join(names) for kind, names in uses.items() if names}
    if found:
        raise FailedPrecondition(
            f"{what} is in use: {'; '.join(f'{_DOES[kind]} {names}' for kind, names in found.items())}.",
            reason=reason,
            field=field,
            metadata={**facts, **found},
        )


def _servers(
    connection: Connection, model: str, existing: set[str], now: datetime, *, version: int | None = None
) -> list[str]:
    """The live processes that answer from the version for one of the existing aliases, or hold streams on it.

    Without a version: on any of the model's.
    """
    query = (
        select(servers.c.host, servers.c.pid, serving_leases.c.aliases, serving_leases.c.streams)
        .join(servers, servers.c.server_id == serving_leases.c.server_id)
        .where(serving_leases.c.model == model, servers.c.expires_at > now)
        .order_by(servers.c.host, servers.c.pid)
    )
    if version is not None:
        query = query.where(serving_leases.c.version == version)
    holding = (
        f"{row.host}:{row.pid}"
        for row in connection.execute(query)
        if row.streams or existing.intersection(row.aliases)
    )
    return list(dict.fromkeys(holding))


def _unfinished_jobs(connection: Connection, model: str) -> list[str]:
    query = (
        select(jobs.c.job_id)
        .where(jobs.c.model == model, jobs.c.state.in_((JobState.PENDING, JobState.RUNNING)))
        .order_by(jobs.c.number)
    )
    return list(connection.execute(query).scalars())
