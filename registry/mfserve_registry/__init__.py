"""The registry: models, versions, aliases, jobs, uploads and leases in SQL, snapshots and other files beside it."""

from mfserve_registry.aliases import Alias, AliasTarget, ResolvedVersion
from mfserve_registry.artifacts import Artifact, ArtifactInfo
from mfserve_registry.jobs import Claim, Job, JobRequest, JobState, Progress
from mfserve_registry.models import Model, Version
from mfserve_registry.pages import Page
from mfserve_registry.registry import Registry
from mfserve_registry.serving import ServerInfo, ServerStatus, ServingLease, ServingState
from mfserve_registry.uploads import Upload, UploadColumn, UploadLimits, UploadWriter

__all__ = [
    "Alias",
    "AliasTarget",
    "Artifact",
    "ArtifactInfo",
    "Claim",
    "Job",
    "JobRequest",
    "JobState",
    "Model",
    "Page",
    "Progress",
    "Registry",
    "ResolvedVersion",
    "ServerInfo",
    "ServerStatus",
    "ServingLease",
    "ServingState",
    "Upload",
    "UploadColumn",
    "UploadLimits",
    "UploadWriter",
    "Version",
]
