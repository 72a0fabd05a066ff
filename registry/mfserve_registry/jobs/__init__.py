"""Training jobs: a queue that survives its workers."""

from mfserve_registry.jobs.jobs import DEFAULT_MAX_ATTEMPTS, Jobs
from mfserve_registry.jobs.types import Claim, Job, JobRequest, JobState, Outcome, Progress

__all__ = ["DEFAULT_MAX_ATTEMPTS", "Claim", "Job", "JobRequest", "JobState", "Jobs", "Outcome", "Progress"]
