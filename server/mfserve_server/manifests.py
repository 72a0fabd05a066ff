"""What the manifests of snapshots say of their versions."""

from __future__ import annotations

import json
from functools import lru_cache

from mfserve_registry.errors import DamagedSnapshot
from mfserve_registry.snapshot import SnapshotStore
from mfserve_server.conversions.models import Facts

_REMEMBERED = 4096


class Manifests:
    """Reads manifests by digest; blocks, for an executor. A digest's manifest never changes, so it is remembered."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._read = lru_cache(_REMEMBERED)(self._read_manifest)

    def of(self, digest: str) -> Facts:
        """Facts and index; empty where the manifest is missing or damaged: the version is still worth listing.

        Unavailable: the store does not answer.
        """
        try:
            return self._read(digest)
        except DamagedSnapshot:
            return {}

    def _read_manifest(self, digest: str) -> Facts:
        manifest: Facts = json.loads(self._store.manifest(digest))
        # The rest is about the files, and long.
        return {"facts": manifest["facts"], "index": (manifest["ranking"] or {}).get("index")}
