"""What is done once per start, before any server process answers."""

from __future__ import annotations

import structlog

from mfserve_registry.errors import DamagedSnapshot
from mfserve_registry.snapshot import Snapshot
from mfserve_server.opening import open_registry
from mfserve_server.settings import Settings

_log = structlog.get_logger(__name__)


def prepare(settings: Settings) -> frozenset[str]:
    """Brings the registry to this release's form, and verifies the snapshots that aliases name, once for all workers.

    Returns the digests that are whole; a worker finds out for itself, and reports, what is wrong with another.
    """
    verified = set()
    with open_registry(settings, migrate=True) as registry:
        registry.clean_staging()
        for digest in {version.digest for version in registry.aliases.aliased()}:
            try:
                Snapshot.open(registry.snapshots.path(digest), digest)
            except DamagedSnapshot as error:
                _log.error("snapshot is refused", digest=digest, reason=error.reason, message=error.message)
            else:
                verified.add(digest)
    return frozenset(verified)
