"""The snapshot format: what one is (content), how it is written, opened and kept."""

from mfserve_registry.snapshot.content import RankingHead, RatedItems, RatingHead, SnapshotContent
from mfserve_registry.snapshot.ids import IdTable, StringTable
from mfserve_registry.snapshot.manifest import FORMAT, Manifest
from mfserve_registry.snapshot.reader import Snapshot, verify_snapshot
from mfserve_registry.snapshot.store import SnapshotStore
from mfserve_registry.snapshot.writer import write_snapshot

__all__ = [
    "FORMAT",
    "IdTable",
    "Manifest",
    "RankingHead",
    "RatedItems",
    "RatingHead",
    "Snapshot",
    "SnapshotContent",
    "SnapshotStore",
    "StringTable",
    "verify_snapshot",
    "write_snapshot",
]
