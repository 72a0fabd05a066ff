"""The registry: models, versions, aliases, jobs, uploads and leases in SQL, snapshots and other files beside it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mfserve_registry.aliases import (
        Alias,
        AliasEvent,
        AliasShadow,
        AliasState,
        AliasTarget,
        ResolvedAlias,
        ResolvedVersion,
    )
    from mfserve_registry.artifacts import Artifact, ArtifactInfo
    from mfserve_registry.collecting import Collected, Retention, Verdict
    from mfserve_registry.jobs import Claim, Job, JobRequest, JobState, Progress
    from mfserve_registry.models import Model, Version
    from mfserve_registry.pages import Page
    from mfserve_registry.publishing import Publication
    from mfserve_registry.registry import Registry
    from mfserve_registry.serving import ServerInfo, ServerStatus, ServingLease, ServingState
    from mfserve_registry.uploads import Upload, UploadColumn, UploadLimits, UploadWriter

# Where each name is, looked up at its first use: SQLAlchemy and numpy take 0.4 s to import, and the parent process
# of a server, which wants its children to start at once, needs only small modules at first.
_HOMES = {
    "aliases": (
        "Alias",
        "AliasEvent",
        "AliasShadow",
        "AliasState",
        "AliasTarget",
        "ResolvedAlias",
        "ResolvedVersion",
    ),
    "artifacts": ("Artifact", "ArtifactInfo"),
    "collecting": ("Collected", "Retention", "Verdict"),
    "jobs": ("Claim", "Job", "JobRequest", "JobState", "Progress"),
    "models": ("Model", "Version"),
    "pages": ("Page",),
    "publishing": ("Publication",),
    "registry": ("Registry",),
    "serving": ("ServerInfo", "ServerStatus", "ServingLease", "ServingState"),
    "uploads": ("Upload", "UploadColumn", "UploadLimits", "UploadWriter"),
}
_MODULES = {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}

__all__ = [
    "Alias",
    "AliasEvent",
    "AliasShadow",
    "AliasState",
    "AliasTarget",
    "Artifact",
    "ArtifactInfo",
    "Claim",
    "Collected",
    "Job",
    "JobRequest",
    "JobState",
    "Model",
    "Page",
    "Progress",
    "Publication",
    "Registry",
    "ResolvedAlias",
    "ResolvedVersion",
    "Retention",
    "ServerInfo",
    "ServerStatus",
    "ServingLease",
    "ServingState",
    "Upload",
    "UploadColumn",
    "UploadLimits",
    "UploadWriter",
    "Verdict",
    "Version",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return value
