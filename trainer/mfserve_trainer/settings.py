"""What can be set of a trainer."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from mfserve_registry.settings import Bytes, ProcessSettings


class Settings(ProcessSettings):
    """Everything that a trainer has to know. The string under a field describes it."""

    cache_dir: Path | None = None
    """Folder of downloaded data sets. Absent: the user's cache folder."""
    lease_seconds: float = Field(15.0, ge=1, le=3600)
    """How long a trainer that is not heard of keeps its job; renewed three times in that time."""
    job_poll_seconds: float = Field(0.25, gt=0, le=60)
    """How often an idle trainer looks for a job, and a busy one for a cancellation."""
    max_fit_bytes: Bytes | None = Field(None, ge=2**28)
    """Most memory that one training may take, some 400 MB of the smallest one included; absent: all that there is."""
    max_fit_seconds: float | None = Field(None, gt=0, le=2_592_000)
    """Longest that one training may take, up to its publication; absent: as long as it takes."""
