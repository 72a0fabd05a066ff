"""The things that a store keeps, each of them one or several files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

from mfserve_registry.snapshot.manifest import FILE_NAME
from mfserve_registry.store import Store

# The name, and in it the key.
_PATHS = {
    "snapshots": re.compile(r"(snapshots/([0-9a-f]{64}))/[^/]+"),
    "artifacts": re.compile(r"(artifacts/[0-9a-f]{2}/([0-9a-f]{64}))"),
    "uploads": re.compile(r"(uploads/([0-9a-f]{32})\.parquet)"),
}


@dataclass(slots=True)
class Stored:
    """A snapshot, an artifact or an upload.

    Attributes:
        kind, key: what it is, and its digest, SHA-256 or id.
        name: what the store calls it.
        size_bytes: of all its files.
        written_at: when the last of them was written.
    """

    kind: str
    key: str
    name: str
    size_bytes: int
    written_at: datetime

    @property
    def last(self) -> str | None:
        """Of a folder, the file without which it is not there."""
        return FILE_NAME if self.kind == "snapshots" else None


def stored(store: Store) -> list[Stored]:
    """All that the store keeps, by name. What has no name of ours somebody else put there, and is left alone."""
    found: dict[str, Stored] = {}
    for kind, path in _PATHS.items():
        for file in store.files(kind):
            if (match := path.fullmatch(file.path)) is not None:
                name, key = match.groups()
                thing = found.setdefault(name, Stored(kind, key, name, 0, file.written_at))
                thing.size_bytes += file.size_bytes
                thing.written_at = max(thing.written_at, file.written_at)
    return [found[name] for name in sorted(found)]
