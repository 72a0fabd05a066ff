"""What the parent tells a server process."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from mfserve_server.settings import Settings
from mfserve_server.start_folder import StartFolder


class Orders(BaseModel):
    """What a worker is told by its parent.

    Attributes:
        settings: with the address and the port that were found.
        worker: its place among the processes, from 0.
        folder: of this start.
    """

    model_config = ConfigDict(frozen=True)

    settings: Settings
    worker: int
    folder: StartFolder
