"""What the parent tells a server process."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from mfserve_server.settings import Settings


class Orders(BaseModel):
    """What a worker is told by its parent.

    Attributes:
        settings: with the address and the port that were found.
        worker: its place among the processes, from 0.
        verdicts: folder of this start for what the processes find in verifying snapshots.
        pages: folder of this start for what they count.
    """

    model_config = ConfigDict(frozen=True)

    settings: Settings
    worker: int
    verdicts: Path
    pages: Path
