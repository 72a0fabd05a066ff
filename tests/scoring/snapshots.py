"""Opens contents as real snapshots."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from mfserve_registry.snapshot import Snapshot, SnapshotContent, write_snapshot
from mfserve_registry.snapshot.content import Floats
from mfserve_scoring import Recommendations


def opened(content: SnapshotContent) -> Snapshot:
    """The content, written and memory-mapped; its files are gone already, the mappings hold them."""
    with TemporaryDirectory() as folder:
        return Snapshot.open(Path(folder), write_snapshot(Path(folder), content))


def means_of(snapshot: Snapshot) -> tuple[Floats, Floats]:
    """The damped means of users and items, of a snapshot that has a rating head."""
    assert snapshot.user_means is not None
    assert snapshot.item_means is not None
    return snapshot.user_means, snapshot.item_means


def predicted_by(answer: Recommendations) -> Floats:
    """The predicted ratings beside recommendations that have them."""
    assert answer.predicted_ratings is not None
    return answer.predicted_ratings
