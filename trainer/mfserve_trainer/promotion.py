"""What the promotion gates say of a version that is about to be published."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import structlog

from mfserve_registry import Artifact, JobRequest, Registry
from mfserve_registry.errors import DamagedSnapshot, NotFound
from mfserve_registry.gates import GateReport
from mfserve_registry.names import PRODUCTION
from mfserve_registry.snapshot import Snapshot
from mfserve_trainer.gates import Contender, judge, skip_all
from mfserve_trainer.holdout_rows import FILE_NAME, HoldoutRows

_log = structlog.get_logger(__name__)


def gate_report(
    registry: Registry, request: JobRequest, staged: Path, digest: str, artifacts: Sequence[Artifact]
) -> GateReport | None:
    """Compares the snapshot in ``staged`` with what the alias names now; None where the job wants no gates.

    The alias is the one that the job is to move, or ``production``: a version that is not to be promoted now may be
    later.

    Raises:
        DamagedSnapshot: ``staged`` does not hold the snapshot ``digest``.
        Unavailable: the database does not answer.
    """
    if request.gates.off:
        return None
    alias = request.promote_to_alias or PRODUCTION
    try:
        named = registry.aliases.get(request.model, alias)
    except NotFound:
        why = f"There is no alias {alias} of this model yet, and so no version to compare with."
        return GateReport(alias=alias, incumbent=None, revision=0, results=skip_all(why))
    # The answers of a split alias come from its heaviest target most of all.
    number = named.targets[0].version
    new = Contender(Snapshot.open(staged, digest, verify=False), _rows_among(artifacts))
    try:
        incumbent = _published(registry, request.model, number)
    except (NotFound, DamagedSnapshot, ValueError) as error:
        _log.warning(
            "the incumbent cannot be compared with", model=request.model, version=number, why=str(error)
        )
        results = skip_all(
            f"Version {number}, which {alias} names, cannot be read; the trainer's log says why."
        )
    else:
        results = judge(new, incumbent, request.gates)
    return GateReport(alias=alias, incumbent=number, revision=named.revision, results=results)


def _rows_among(artifacts: Sequence[Artifact]) -> HoldoutRows | None:
    kept = [artifact.data for artifact in artifacts if artifact.name == FILE_NAME]
    return HoldoutRows.read(kept[0]) if kept else None


def _published(registry: Registry, model: str, number: int) -> Contender:
    version = registry.models.get_version(model, number)
    # Unverified: only numbers are made of it, and nothing is served.
    snapshot = Snapshot.open(registry.snapshots.path(version.digest), version.digest, verify=False)
    if FILE_NAME not in {artifact.name for artifact in version.artifacts}:
        return Contender(snapshot, None)
    return Contender(snapshot, HoldoutRows.read(registry.artifacts.read(model, number, FILE_NAME)[1]))
