"""The registry: its database and its store of files, in a home folder or elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self

import structlog
from sqlalchemy import Connection

from mfserve_registry.aliases import Alias, Aliases
from mfserve_registry.archive import Archives, Progress
from mfserve_registry.artifacts import Artifact, Artifacts
from mfserve_registry.collecting import Collected, Collector, Retention
from mfserve_registry.database import Clock, Database, utc_now
from mfserve_registry.errors import FailedPrecondition, Unavailable
from mfserve_registry.gates import GateReport
from mfserve_registry.jobs import Claim, Jobs
from mfserve_registry.models import Models, Version
from mfserve_registry.names import PRODUCTION
from mfserve_registry.ownership import Ownership
from mfserve_registry.promoting import Promoter
from mfserve_registry.publishing import Publication, Publisher, Training
from mfserve_registry.schema import ensure_schema, require_schema
from mfserve_registry.serving import Serving
from mfserve_registry.settings import DEFAULT_CACHE_BYTES
from mfserve_registry.shadowing import Shadowing
from mfserve_registry.snapshot.store import SnapshotStore
from mfserve_registry.store import Store, open_store
from mfserve_registry.uploads import UploadLimits, Uploads

_log = structlog.get_logger(__name__)


class Registry:
    """Everything that servers, trainers and callers share. Safe to use from many threads and many processes.

    The home folder holds ``registry.db``, unless the database is elsewhere, and ``snapshots/``, ``artifacts/`` and
    ``uploads/``, unless the store is elsewhere: then ``cache/`` has local copies of what this machine needs.

    Attributes:
        models: models and versions, and what a name resolves to.
        aliases: names for versions.
        jobs: the queue of trainings.
        artifacts: files that hang on versions.
        uploads: ratings sent by callers.
        serving: which server process holds which version.
        shadowing: what server processes have found about shadows.
        snapshots: the snapshots in the store.
    """

    models: Models
    aliases: Aliases
    jobs: Jobs
    artifacts: Artifacts
    uploads: Uploads
    serving: Serving
    shadowing: Shadowing
    snapshots: SnapshotStore

    def __init__(self, database: Database, store: Store, upload_limits: UploadLimits) -> None:
        self._database = database
        self._store = store
        self.models = Models(database)
        self.aliases = Aliases(database)
        self.jobs = Jobs(database)
        self.artifacts = Artifacts(database, store)
        self._ownership = Ownership(database, store)
        self.uploads = Uploads(database, store, upload_limits, self._ownership)
        self.serving = Serving(database)
        self.shadowing = Shadowing(database)
        self.snapshots = SnapshotStore(store)
        self._promoter = Promoter(database)
        self._publisher = Publisher(database, self.snapshots, self.artifacts, self._ownership)
        self._collector = Collector(database, store)
        self._archives = Archives(self.models, self.snapshots, self.artifacts, self._publisher)

    @classmethod
    def open(
        cls,
        home: Path,
        *,
        database_url: str | None = None,
        store_url: str | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        migrate: bool = True,
        check_later: bool = False,
        clock: Clock = utc_now,
        upload_limits: UploadLimits | None = None,
    ) -> Registry:
        """Opens the registry in ``home``, making the folder (readable by its owner only) and the tables at need.

        Args:
            database_url: ``postgresql://…`` or ``sqlite:///…``; none: ``registry.db`` in ``home``.
            store_url: ``s3://bucket/prefix`` or ``file:///folder``, where the files are; none: ``home``.
            cache_bytes: most bytes of local copies of what a bucket keeps.
            migrate: bring an older database to this release's form; several processes may do so at once.
            check_later: ask the database nothing now, so that it may be away. The first call that it answers looks at
                its form, and until that is this release's every call gets Unavailable. Nothing is migrated.
            clock: what time it is, timezone-aware.
            upload_limits: how much one upload may hold.

        Raises:
            InvalidArgument: a URL that cannot be used.
            FailedPrecondition: REGISTRY_TOO_NEW, a later release made the database; REGISTRY_NOT_MIGRATED, it is
                missing or old and ``migrate`` is False.
            Unavailable: the database does not answer, or is missing though the store has snapshots.
        """
        home = Path(home).absolute()
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        store = open_store(store_url, home, cache_bytes)
        database = Database(home / "registry.db", database_url, clock)
        try:
            if check_later:
                database.check_first(_later)
            elif migrate:
                ensure_schema(database, home / "registry.lock", SnapshotStore(store).any)
            else:
                with database.read() as connection:
                    require_schema(connection)
            return cls(database, store, upload_limits or UploadLimits())
        except BaseException:
            database.close()
            raise

    @property
    def name(self) -> str:
        """Tells this registry from others; no secret is in it."""
        return self._database.name

    def publish(
        self,
        claim: Claim,
        staged: Path,
        digest: str,
        artifacts: Sequence[Artifact] = (),
        *,
        metrics: Mapping[str, Any] | None = None,
        facts: Mapping[str, Any] | None = None,
        gates: GateReport | None = None,
    ) -> Version:
        """Makes the snapshot in ``staged`` the next version of the claim's model, and the job SUCCEEDED.

        The model's only version takes the alias ``production``, and the alias that the job asked for is moved, unless a
        gate failed or the alias was changed since the gates looked at it: then the job says why it was not. All of it
        happens, durably, or nothing does. Between a publication and a cancellation the first to commit wins.

        Args:
            claim: the attempt that publishes.
            staged: a folder from ``snapshots.stage()`` with the written snapshot; gone after success. After an error
                it may still be there: ``snapshots.discard`` it.
            digest: the snapshot's digest.
            artifacts: files to keep with the version.
            metrics: metrics of the holdout fit, JSON values.
            facts: what lists of versions should show besides, JSON values.
            gates: what the promotion gates found; None: they did not run.

        Raises:
            LeaseLost: the attempt no longer holds the job.
            FailedPrecondition: JOB_CANCELLED, a cancel was asked for: call ``jobs.cancelled``; STORAGE_FAILED, the
                store belongs to another database.
            InvalidArgument: an artifact that cannot be kept, or metrics or facts that are no JSON.
            DamagedSnapshot: ``staged`` does not hold the snapshot ``digest``.
            OSError: the disk failed; nothing was published.
        """
        origin = Training(claim, gates)
        return self._publisher.publish(origin, staged, digest, artifacts, metrics or {}, facts or {}).version

    def export_version(
        self, model: str, version: int, path: Path, *, progress: Progress | None = None
    ) -> Version:
        """Writes a version to one file: its snapshot, its artifacts, and what is known of it.

        The same version gives the same bytes. All of the file is there, durably, or none of it; only what is no regular
        file (a pipe) is written to straight away.

        Args:
            path: the file; one that is there is replaced.
            progress: called with the bytes written and their total.

        Raises:
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND.
            DamagedSnapshot: the version is damaged in the store; nothing is written.
            OSError: the file cannot be written.
        """
        return self._archives.export(model, version, path, progress)

    def import_version(
        self, path: Path, *, model: str | None = None, progress: Progress | None = None
    ) -> Publication:
        """Makes the version in an archive the next version of its model, as if it had been trained here.

        Digest, metrics, facts, artifacts and what the promotion gates found stay; the number is the next one here, and
        there is no job. The model's only version takes the alias ``production`` unless a gate failed, no other alias
        moves. Everything is checked before anything becomes visible. Where the model has a version with this snapshot
        already, that one is the answer; its files are replaced where they were damaged.

        Args:
            path: a file that ``export_version`` wrote, or a pipe from one.
            model: the model that it becomes a version of; none: the one that it was exported from.
            progress: called with the bytes read and their total.

        Raises:
            InvalidArgument: ``model`` is no name.
            DamagedArchive: the file is no archive, or not as it was exported; ARCHIVE_TOO_NEW, of a later format.
            DamagedSnapshot: what it holds is no sound snapshot; SNAPSHOT_TOO_NEW, of a later format.
            OSError: the file cannot be read, or the disk is full.
        """
        return self._archives.import_(path, model, progress)

    def promote(
        self,
        model: str,
        version: int,
        alias: str = PRODUCTION,
        *,
        force: bool = False,
        expected_revision: int | None = None,
        reason: str = "",
        actor: str = "",
    ) -> Alias:
        """Points an alias to one version, unless a gate failed when the version was published.

        A version whose gates did not run has failed none.

        Args:
            force: promote it all the same; the history then says FORCED.
            expected_revision: the revision that the alias was read at; None: whatever it has; 0: it does not exist yet.
            reason: why, for the history; at most 1,000 characters, and not empty with ``force``.
            actor: who, for the history; at most 255 characters.

        Raises:
            InvalidArgument: a bad name, a negative revision, a text too long or missing.
            FailedPrecondition: GATES_FAILED; ALIAS_RESERVED for ``latest``.
            NotFound: MODEL_NOT_FOUND, VERSION_NOT_FOUND.
            Aborted: REVISION_MISMATCH; its metadata has the ``revision`` found.
        """
        return self._promoter.promote(
            model,
            version,
            alias,
            force=force,
            expected_revision=expected_revision,
            reason=reason,
            actor=actor,
        )

    def collect(
        self,
        retention: Retention | None = None,
        *,
        dry_run: bool = False,
        progress: Progress | None = None,
    ) -> Collected:
        """Deletes versions and uploads that are not to be kept, and removes the files that nothing names any more.

        Safe beside servers, trainers and other collections, on whatever machine, and where it is broken off: the next
        one goes on. No version is deleted that an alias names, that a rollback would bring back or that a live server
        process holds, and no file removed that the database names or that somebody is just publishing. Versions and
        uploads go only where the retention says how many, or how long, they are kept.

        Args:
            retention: what is kept; none: all versions and uploads, and what is younger than a day.
            dry_run: changes nothing, and tells what would go.
            progress: called with the bytes looked at and their total, of what nothing names.

        Raises:
            FailedPrecondition: STORAGE_FAILED, the store belongs to another database.
            Unavailable: the database or the store does not answer; what has been done until then stays done.
            OSError: the disk of a store in a folder failed, or does not let us; the same.
        """
        return self._collector.collect(retention or Retention(), dry_run=dry_run, progress=progress)

    def ask_store(self) -> None:
        """Asks the store for something small, so that a log says early why it cannot be used, if that is so.

        In the background: one that says nothing keeps nobody waiting.
        """
        Thread(target=self._ask_store, name="asking the store", daemon=True).start()

    def _ask_store(self) -> None:
        try:
            self._ownership.check()
        except FailedPrecondition as error:
            _log.error("the store cannot be used", message=error.message)
        except (Unavailable, OSError) as error:
            _log.warning("the store cannot be looked at", reason=type(error).__name__)

    def clean_staging(self, older_than: timedelta = timedelta(days=1)) -> None:
        """Removes what snapshots, uploads and artifacts that never ended have left behind, if untouched for so long."""
        self._store.clean_staging(older_than)

    def close(self) -> None:
        """Lets go of the database's connections."""
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _later(connection: Connection) -> None:
    try:
        require_schema(connection)
    except FailedPrecondition as error:
        raise Unavailable(error.message) from error
