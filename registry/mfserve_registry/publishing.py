"""Turning a staged snapshot into a version: all of it becomes visible, or nothing does.

The order makes it so: the snapshot's files are flushed, renamed into the store and the store's folder flushed, the
artifacts likewise, and only then does one transaction name them. A crash before that transaction leaves files that
nothing names, which do no harm: publishing the same snapshot again finds them and goes on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from mfserve_registry.aliases import AliasAction, point
from mfserve_registry.artifacts import Artifact, Artifacts, link_artifacts
from mfserve_registry.canonical import canonical_json
from mfserve_registry.database import Database
from mfserve_registry.errors import InvalidArgument
from mfserve_registry.jobs.lifecycle import finish, hold, refuse_if_cancelled
from mfserve_registry.jobs.types import Claim, JobState, Outcome
from mfserve_registry.models import Version, version_of
from mfserve_registry.names import PRODUCTION
from mfserve_registry.snapshot.reader import Snapshot
from mfserve_registry.snapshot.store import SnapshotStore
from mfserve_registry.tables import models, snapshots, versions


class Publisher:
    """Publishes versions."""

    def __init__(self, database: Database, store: SnapshotStore, artifacts: Artifacts) -> None:
        self._database = database
        self._store = store
        self._artifacts = artifacts

    def publish(
        self,
        claim: Claim,
        staged: Path,
        digest: str,
        artifacts: Sequence[Artifact],
        metrics: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> Version:
        """See ``Registry.publish``."""
        for name, values in (("metrics", metrics), ("facts", facts)):
            try:
                canonical_json(values)
            except (TypeError, ValueError) as error:
                raise InvalidArgument(f"The version's {name} are not JSON values.", field=name) from error
        # Early, so that a worker that lost its lease leaves no files; what counts is the check at the end.
        with self._database.read() as connection:
            refuse_if_cancelled(hold(connection, claim, self._database.now()))
        # Here, where it costs a second read of files that the system still has in memory, and not at the servers: no
        # writer's defect and no NaN becomes a version.
        Snapshot.open(staged, digest)
        size = sum(file.stat().st_size for file in staged.rglob("*") if file.is_file())
        kept = self._artifacts.keep(artifacts)
        self._store.commit(staged, digest)
        with self._database.write() as connection:
            now = self._database.now()
            row = hold(connection, claim, now)
            refuse_if_cancelled(row)
            model = claim.request.model
            number, first = _next_version(connection, model, now)
            _keep_snapshot(connection, digest, size, now)
            connection.execute(
                insert(versions).values(
                    model=model,
                    version=number,
                    digest=digest,
                    job_id=claim.job_id,
                    attempt=claim.attempt,
                    metrics=dict(metrics),
                    facts=dict(facts),
                    created_at=now,
                )
            )
            link_artifacts(connection, model, number, kept)
            promoted = claim.request.promote_to_alias
            actor = f"job {claim.job_id}"
            if first and promoted != PRODUCTION:
                point(
                    connection,
                    model,
                    PRODUCTION,
                    number,
                    AliasAction.FIRST_VERSION,
                    now=now,
                    reason="The model's first version.",
                    actor=actor,
                )
            if promoted is not None:
                point(
                    connection,
                    model,
                    promoted,
                    number,
                    AliasAction.PROMOTED,
                    now=now,
                    reason="The training asked for it.",
                    actor=actor,
                )
            finish(connection, row, JobState.SUCCEEDED, Outcome.SUCCEEDED, now, version=number)
            return version_of(connection, model, number)


def _next_version(connection: Connection, model: str, now: datetime) -> tuple[int, bool]:
    """The number that the new version gets, and whether it is the only one of the model."""
    row = connection.execute(select(models).where(models.c.name == model)).first()
    if row is None:
        connection.execute(insert(models).values(name=model, last_version=1, created_at=now))
        return 1, True
    number = row.last_version + 1
    connection.execute(
        update(models).where(models.c.name == model).values(last_version=number, deleted_at=None)
    )
    others = connection.execute(
        select(func.count())
        .select_from(versions)
        .where(versions.c.model == model, versions.c.deleted_at.is_(None))
    ).scalar_one()
    return number, others == 0


def _keep_snapshot(connection: Connection, digest: str, size: int, now: datetime) -> None:
    known = connection.execute(select(snapshots).where(snapshots.c.digest == digest)).first()
    if known is None:
        connection.execute(insert(snapshots).values(digest=digest, size_bytes=size, created_at=now))
    else:
        connection.execute(update(snapshots).where(snapshots.c.digest == digest).values(collected_at=None))
