"""What the database names in the store: nothing of it may be removed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, or_, select

from mfserve_registry.artifacts import artifact_name
from mfserve_registry.snapshot.store import SnapshotStore
from mfserve_registry.tables import artifacts, servers, serving_leases, uploads, versions
from mfserve_registry.uploads.uploads import upload_name


def named(
    connection: Connection, now: datetime, since: datetime, key: str | None = None
) -> dict[str, set[str]]:
    """All that is needed: by name in the store, for what, such as ``movies version 3``.

    Args:
        since: what belongs to a version that was deleted later than that is needed still.
        key: look for this digest, SHA-256 or upload id alone.
    """
    stays = or_(versions.c.deleted_at.is_(None), versions.c.deleted_at > since)
    same = (versions.c.model == artifacts.c.model) & (versions.c.version == artifacts.c.version)
    of_versions = select(versions.c.digest, versions.c.model, versions.c.version).where(stays)
    of_artifacts = select(artifacts.c.sha256, versions.c.model, versions.c.version).join(versions, same)
    # What a live server process has, whatever became of the version.
    held = (
        select(serving_leases.c.digest, servers.c.host, servers.c.pid)
        .join(servers, servers.c.server_id == serving_leases.c.server_id)
        .where(servers.c.expires_at > now)
    )

    def only(column: ColumnElement[str]) -> ColumnElement[bool]:
        return column == (column if key is None else key)

    found: dict[str, set[str]] = {}
    for digest, model, version in connection.execute(of_versions.where(only(versions.c.digest))):
        found.setdefault(SnapshotStore.name(digest), set()).add(f"{model} version {version}")
    for digest, host, pid in connection.execute(held.where(only(serving_leases.c.digest))):
        found.setdefault(SnapshotStore.name(digest), set()).add(f"{host}:{pid}")
    for sha256, model, version in connection.execute(of_artifacts.where(stays, only(artifacts.c.sha256))):
        found.setdefault(artifact_name(sha256), set()).add(f"{model} version {version}")
    for upload_id in connection.execute(
        select(uploads.c.upload_id).where(only(uploads.c.upload_id))
    ).scalars():
        found.setdefault(upload_name(upload_id), set()).add(f"upload {upload_id}")
    return found
