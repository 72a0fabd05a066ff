"""A version that comes from an archive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from mfserve_registry.archive.document import Document
from mfserve_registry.gates import GateReport, Promotion
from mfserve_registry.models import Version, version_of
from mfserve_registry.tables import models, versions


@dataclass(frozen=True, slots=True)
class FromArchive:
    """Publishes once: where the model has a version with the snapshot already, that is the answer.

    So an import that was cut off between its commit and its answer can be repeated.
    """

    model: str
    document: Document
    job_id: None = None
    attempt: None = None
    promote_to_alias: None = None

    @property
    def gates(self) -> GateReport | None:
        return self.document.gates

    @property
    def actor(self) -> str:
        return f"import of {self.document.model} version {self.document.version}"

    def check(self, connection: Connection, digest: str, now: datetime) -> Version | None:
        newest = connection.execute(
            select(func.max(versions.c.version))
            .join(models, models.c.name == versions.c.model)
            .where(
                versions.c.model == self.model,
                versions.c.digest == digest,
                versions.c.deleted_at.is_(None),
                models.c.deleted_at.is_(None),
            )
        ).scalar()
        return None if newest is None else version_of(connection, self.model, newest)

    def finish(
        self, connection: Connection, version: int, promotion: Promotion | None, now: datetime
    ) -> None:
        """Nothing waits for an import."""
