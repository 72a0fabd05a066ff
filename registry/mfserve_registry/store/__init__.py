"""Where the registry's bytes are kept: a folder, or a bucket with a local cache."""

from mfserve_registry.store.base import Check, Held, Store, StoredFile, hold_sound, keep
from mfserve_registry.store.durable import copy_durably
from mfserve_registry.store.folder import FolderStore
from mfserve_registry.store.opening import check_store_url, open_store

__all__ = [
    "Check",
    "FolderStore",
    "Held",
    "Store",
    "StoredFile",
    "check_store_url",
    "copy_durably",
    "hold_sound",
    "keep",
    "open_store",
]
