"""What is said of a version that cannot be served as its files are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mfserve_registry.aliases import ResolvedVersion
from mfserve_registry.errors import DamagedSnapshot

_REMEDY = (
    " Import an archive of this version (mfserve import), which replaces damaged files and is noticed within a minute, "
    "or point its aliases to another one (mfserve rollback)."
)


@contextmanager
def naming(wanted: ResolvedVersion) -> Iterator[None]:
    """A DamagedSnapshot that is raised within says which version it is of, and what mends it."""
    try:
        yield
    except DamagedSnapshot as error:
        # Of one that is too new the message says so itself, and no file is damaged.
        remedy = "" if error.reason == "SNAPSHOT_TOO_NEW" else _REMEDY
        raise DamagedSnapshot(
            f"Version {wanted.version} of model {wanted.model} cannot be loaded: {error.message}{remedy}",
            reason=error.reason,
            metadata={**error.metadata, "model": wanted.model, "version": str(wanted.version)},
        ) from error
