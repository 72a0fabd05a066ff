"""What is done once per start, before any server process answers."""

from __future__ import annotations

import structlog

from mfserve_registry.errors import RegistryError
from mfserve_server.opening import open_registry
from mfserve_server.settings import Settings
from mfserve_server.verification import Verification

_log = structlog.get_logger(__name__)


def prepare(settings: Settings, verification: Verification) -> None:
    """Brings the registry to this release's form, and verifies the snapshots that aliases name while workers import.

    Those of a bucket are fetched. A worker reports what is wrong with one of them.
    """
    with open_registry(settings, migrate=True) as registry:
        registry.clean_staging()
        for digest in {version.digest for alias in registry.aliases.aliased() for version in alias.versions}:
            try:
                verification.hold(registry.snapshots, digest).release()
            except RegistryError as error:
                _log.error(
                    "snapshot cannot be served", digest=digest, reason=error.reason, message=error.message
                )
