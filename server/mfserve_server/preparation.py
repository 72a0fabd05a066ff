"""What the parent asks of the registry: once per start, before any server process answers, and for those that die."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from mfserve_registry import Registry
from mfserve_registry.aliases import ResolvedAlias
from mfserve_registry.errors import RegistryError, Unavailable
from mfserve_server.damage import naming
from mfserve_server.opening import open_registry
from mfserve_server.record import RecordFile
from mfserve_server.settings import Settings
from mfserve_server.verification import Verification

_log = structlog.get_logger(__name__)


def prepare(settings: Settings, verification: Verification) -> bool:
    """Brings the registry to this release's form, and verifies the snapshots that aliases name while workers import.

    Those of a bucket are fetched. A worker reports what is wrong with one of them.

    Returns:
        False where the registry does not answer, and the home's record told what aliases name: ``migrate`` is still to
        be done.

    Raises:
        RegistryError: the registry cannot be opened; Unavailable only where there is no record.
    """
    try:
        with open_registry(settings, migrate=True) as registry:
            registry.clean_staging()
            RecordFile(settings.home, registry.name).clean_staging()
            _verify(registry, registry.aliases.aliased(), verification)
    except Unavailable as error:
        with open_registry(settings, migrate=False, check_later=True) as registry:
            record = RecordFile(settings.home, registry.name).read()
            if record is None:
                raise
            _log.warning(
                "starts without the registry, from what aliases named last",
                message=error.message,
                named_at=record.read_at.isoformat(),
            )
            _verify(registry, record.aliases, verification)
        return False
    return True


def migrate(settings: Settings) -> None:
    """Brings the registry to this release's form. Raises as ``prepare`` without a record."""
    with open_registry(settings, migrate=True) as registry:
        registry.clean_staging()


def withdraw(settings: Settings, server_id: str) -> None:
    """Takes a server process that has died out of the registry. Where that fails, its leases end by themselves."""
    try:
        with open_registry(settings, migrate=False, check_later=True) as registry:
            registry.serving.unregister(server_id)
    except RegistryError as error:
        _log.warning("a dead process is not withdrawn", reason=error.reason, message=error.message)


def _verify(registry: Registry, aliases: Sequence[ResolvedAlias], verification: Verification) -> None:
    registry.ask_store()  # also where there is nothing to fetch
    by_digest = {version.digest: version for alias in aliases for version in alias.versions}
    for digest, version in by_digest.items():
        try:
            with naming(version):
                verification.hold(registry.snapshots, digest).release()
        except RegistryError as error:
            _log.error(
                "version cannot be served",
                model=version.model,
                version=version.version,
                reason=error.reason,
                message=error.message,
            )
