"""Whom the load is put on."""

from __future__ import annotations

from dataclasses import dataclass

BATCH_SIZES = (64, 256, 512, 1024)
"""Users a message."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Where a server listens, mfserve's or a peer's, and the process that answers there."""

    address: str
    pid: int
