"""Turning a staged snapshot into a version: all of it becomes visible, or nothing does.

The order makes it so: the snapshot's files are flushed, renamed into the store and the store's folder flushed, the
artifacts likewise, and only then does one transaction name them. A crash before that transaction leaves files that
nothing names, which do no harm: publishing the same snapshot again finds them and goes on, or a collection removes
them. From the first look at the store to that transaction a lock on their names keeps collections away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import Connection, func, insert, select, update

from mfserve_registry.artifacts import Artifact, ArtifactInfo, Artifacts, link_artifacts, names_of
from mfserve_registry.canonical import canonical_json
from mfserve_registry.database import Database
from mfserve_registry.errors import InvalidArgument, Unavailable
from mfserve_registry.gates import GateReport, Promotion
from mfserve_registry.jobs.lifecycle import finish, hold, refuse_if_cancelled
from mfserve_registry.jobs.types import Claim, JobState, Outcome
from mfserve_registry.models import Version, version_of
from mfserve_registry.ownership import Ownership
from mfserve_registry.promoting import Candidate, settle_aliases
from mfserve_registry.snapshot.reader import Snapshot
from mfserve_registry.snapshot.store import SnapshotStore
from mfserve_registry.tables import models, snapshots, versions


@dataclass(frozen=True, slots=True)
class Publication:
    """What publishing came to.

    Attributes:
        version: the version.
        new: whether it was made now; otherwise it was there already.
    """

    version: Version
    new: bool


class Origin(Candidate, Protocol):
    """Where a version comes from: a training or an archive.

    Attributes:
        job_id, attempt: as in Version.
    """

    @property
    def job_id(self) -> str | None: ...
    @property
    def attempt(self) -> int | None: ...

    def check(self, connection: Connection, digest: str, now: datetime) -> Version | None:
        """Raises a RegistryError where it may not publish; the version that makes it needless, where there is one."""

    def finish(
        self, connection: Connection, version: int, promotion: Promotion | None, now: datetime
    ) -> None:
        """What else happens in the transaction that makes the version.

        Args:
            promotion: what became of ``promote_to_alias``.
        """


@dataclass(frozen=True, slots=True)
class Training:
    """A job's attempt, which publishes while it holds the job, and ends it."""

    claim: Claim
    gates: GateReport | None = None

    @property
    def model(self) -> str:
        return self.claim.request.model

    @property
    def job_id(self) -> str:
        return self.claim.job_id

    @property
    def attempt(self) -> int:
        return self.claim.attempt

    @property
    def promote_to_alias(self) -> str | None:
        return self.claim.request.promote_to_alias

    @property
    def actor(self) -> str:
        return f"job {self.claim.job_id}"

    def check(self, connection: Connection, digest: str, now: datetime) -> Version | None:
        refuse_if_cancelled(hold(connection, self.claim, now))
        return None  # the same training twice is two versions

    def finish(
        self, connection: Connection, version: int, promotion: Promotion | None, now: datetime
    ) -> None:
        row = hold(connection, self.claim, now)
        ended = JobState.SUCCEEDED, Outcome.SUCCEEDED
        finish(connection, row, *ended, now, version=version, promotion=promotion)


class Publisher:
    """Publishes versions."""

    def __init__(
        self, database: Database, store: SnapshotStore, artifacts: Artifacts, ownership: Ownership
    ) -> None:
        self._database = database
        self._store = store
        self._artifacts = artifacts
        self._ownership = ownership

    def publish(
        self,
        origin: Origin,
        staged: Path,
        digest: str,
        artifacts: Sequence[Artifact],
        metrics: Mapping[str, Any],
        facts: Mapping[str, Any],
    ) -> Publication:
        """See ``Registry.publish``."""
        for name, values in (("metrics", metrics), ("facts", facts)):
            try:
                canonical_json(values)
            except (TypeError, ValueError) as error:
                raise InvalidArgument(f"The version's {name} are not JSON values.", field=name) from error
        # Early, so that one that may not publish leaves no files; what counts is the check at the end. What is there
        # already goes on until then too: its files are replaced where they were damaged.
        with self._database.read() as connection:
            origin.check(connection, digest, self._database.now())
        self._ownership.claim()
        # Here, where it costs a second read of files that the system still has in memory, and not at the servers: no
        # writer's defect and no NaN becomes a version.
        Snapshot.open(staged, digest)
        size = sum(file.stat().st_size for file in staged.rglob("*") if file.is_file())
        with self._database.lock_shared([self._store.name(digest), *names_of(artifacts)]) as lock:
            kept = self._artifacts.keep(artifacts)
            self._store.commit(staged, digest)
            self._ownership.require()
            if not (lock.renew() or self._are_there(digest, kept)):
                raise Unavailable("What was stored has been removed before it could be published; try again.")
            with lock.write() as connection:
                now = self._database.now()
                if found := origin.check(connection, digest, now):
                    return Publication(found, new=False)
                number, first = _next_version(connection, origin.model, now)
                _keep_snapshot(connection, digest, size, now)
                connection.execute(
                    insert(versions).values(
                        model=origin.model,
                        version=number,
                        digest=digest,
                        job_id=origin.job_id,
                        attempt=origin.attempt,
                        metrics=dict(metrics),
                        facts=dict(facts),
                        gates=None if origin.gates is None else origin.gates.model_dump(mode="json"),
                        created_at=now,
                    )
                )
                link_artifacts(connection, origin.model, number, kept)
                promotion = settle_aliases(connection, origin, number, first=first, now=now)
                origin.finish(connection, number, promotion, now)
                return Publication(version_of(connection, origin.model, number), new=True)

    def _are_there(self, digest: str, artifacts: Sequence[ArtifactInfo]) -> bool:
        return self._store.contains(digest) and self._artifacts.are_kept(artifacts)


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
