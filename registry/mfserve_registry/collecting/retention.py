"""Which versions and uploads go, although nobody has deleted them: those that a ``Retention`` does not keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, select

from mfserve_registry.aliases import Alias, aliases_of
from mfserve_registry.aliases.moves import before
from mfserve_registry.aliases.rows import event_from_row
from mfserve_registry.collecting.types import Retention, Verdict
from mfserve_registry.deletion import delete_version
from mfserve_registry.jobs.types import JobState
from mfserve_registry.tables import alias_events, jobs, models, servers, serving_leases, uploads, versions


def live_models(connection: Connection) -> list[str]:
    query = select(models.c.name).where(models.c.deleted_at.is_(None)).order_by(models.c.name)
    return list(connection.execute(query).scalars())


def versions_of(connection: Connection, model: str, retention: Retention, now: datetime) -> dict[int, str]:
    """The versions of a model that are not deleted, each with why it stays, or "" where it need not."""
    rows = connection.execute(
        select(versions.c.version, versions.c.created_at)
        .where(versions.c.model == model, versions.c.deleted_at.is_(None))
        .order_by(versions.c.version.desc())
    )
    created_at = {row.version: row.created_at for row in rows}
    reasons: dict[int, str] = {}
    for version, why in _needs(connection, model, created_at, retention, now):
        reasons.setdefault(version, why)
    return {version: reasons.get(version, "") for version in created_at}


def delete_versions(
    connection: Connection, model: str, retention: Retention, now: datetime, *, dry_run: bool
) -> Iterator[Verdict]:
    """Deletes those that need not stay, in this transaction; nothing but a verdict where it is ``dry_run``."""
    for version, why in versions_of(connection, model, retention, now).items():
        if not why and not dry_run:
            delete_version(connection, model, version, now)
        yield Verdict(f"{model} version {version}", not why, why or "nobody needs it")


def delete_uploads(
    connection: Connection, retention: Retention, now: datetime, *, dry_run: bool
) -> Iterator[Verdict]:
    """The same for uploads. Their rows go: the same request id would then be another upload."""
    if retention.keep_uploads is None:
        return
    used = _uses(connection, now)
    for upload_id, created_at in connection.execute(
        select(uploads.c.upload_id, uploads.c.created_at).order_by(uploads.c.created_at)
    ).all():
        last, why = used.get(upload_id, (created_at, ""))
        if not why and max(last, created_at) > now - max(retention.keep_uploads, retention.grace):
            why = "came, or was trained on, lately"
        if not why and not dry_run:
            connection.execute(delete(uploads).where(uploads.c.upload_id == upload_id))
        yield Verdict(f"upload {upload_id}", not why, why or "nobody has trained on it lately")


def _needs(
    connection: Connection,
    model: str,
    created_at: dict[int, datetime],
    retention: Retention,
    now: datetime,
) -> Iterator[tuple[int, str]]:
    """Versions, deleted ones too, and why they are needed; the weightiest reason of each first."""
    named = aliases_of(connection, [model]).get(model, [])
    for alias in named:
        yield from _each(alias.state.versions, f"named by {alias.alias}")
    for row in connection.execute(
        select(serving_leases.c.version, servers.c.host, servers.c.pid)
        .join(servers, servers.c.server_id == serving_leases.c.server_id)
        .where(serving_leases.c.model == model, servers.c.expires_at > now)
        .order_by(servers.c.host, servers.c.pid)
    ):
        yield row.version, f"held by {row.host}:{row.pid}"
    yield from _were_named(connection, model, named, now - retention.named_within)
    yield from _each(list(created_at)[: retention.keep_last], "among the newest")
    young = [version for version, at in created_at.items() if at > now - retention.grace]
    yield from _each(young, "just published")


def _were_named(
    connection: Connection, model: str, named: list[Alias], since: datetime
) -> Iterator[tuple[int, str]]:
    """What each alias named at some time since then, and what a rollback would bring back, however old."""
    events = connection.execute(
        select(alias_events)
        .where(alias_events.c.model == model, alias_events.c.at >= since)
        .order_by(alias_events.c.number.desc())
    )
    for row in events:
        event = event_from_row(row)
        yield from _each([*event.before.versions, *event.after.versions], f"named by {row.alias} lately")
    for alias in named:
        if (earlier := before(connection, alias)) is not None:
            yield from _each(earlier.after.versions, f"what a rollback of {alias.alias} brings back")


def _each(numbers: Sequence[int], why: str) -> Iterator[tuple[int, str]]:
    return ((number, why) for number in numbers)


def _uses(connection: Connection, now: datetime) -> dict[str, tuple[datetime, str]]:
    """By upload: when a job that trains on it ended last, and why it is needed now, if it is."""
    upload_id = jobs.c.request["dataset", "source", "upload_id"].as_string()
    query = (
        select(upload_id.label("upload_id"), jobs.c.job_id, jobs.c.state, jobs.c.finished_at)
        .where(upload_id.is_not(None))
        .order_by(jobs.c.number)
    )
    found: dict[str, tuple[datetime, str]] = {}
    for row in connection.execute(query):
        last, why = found.get(row.upload_id, (row.finished_at or now, ""))
        if not JobState(row.state).finished:
            why = f"job {row.job_id} trains on it"
        found[row.upload_id] = max(last, row.finished_at or now), why
    return found
