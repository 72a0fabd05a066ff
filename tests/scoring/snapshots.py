"""Opens contents as real snapshots."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from mfserve_registry.snapshot import Snapshot, SnapshotContent, write_snapshot


def opened(content: SnapshotContent) -> Snapshot:
    """The content, written and memory-mapped; its files are gone already, the mappings hold them."""
    with TemporaryDirectory() as folder:
        return Snapshot.open(Path(folder), write_snapshot(Path(folder), content))
