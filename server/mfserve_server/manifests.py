"""What the manifests of snapshots say of their versions."""

from __future__ import annotations

import json
from functools import lru_cache

from mfserve_registry.snapshot import SnapshotStore
from mfserve_registry.snapshot.manifest import FILE_NAME, digest_of
from mfserve_server.conversions.models import Facts

_REMEMBERED = 4096


class Manifests:
    """Reads manifests by digest; blocks, for an executor. A digest's manifest never changes, so it is remembered."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._read = lru_cache(_REMEMBERED)(self._read_manifest)

    def of(self, digest: str) -> Facts:
        """Facts and index; empty where the manifest is missing or damaged: the version is still worth listing."""
        try:
            return self._read(digest)
        except (OSError, ValueError):
            return {}

    def _read_manifest(self, digest: str) -> Facts:
        data = (self._store.path(digest) / FILE_NAME).read_bytes()
        if digest_of(data) != digest:
            raise ValueError("the manifest is damaged")
        manifest: Facts = json.loads(data)
        # The rest is about the files, and long.
        return {"facts": manifest["facts"], "index": (manifest["ranking"] or {}).get("index")}
