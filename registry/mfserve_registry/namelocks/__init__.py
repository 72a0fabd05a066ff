"""Locks on names in the store: who puts something and names it, and who removes it, keep out of each other's way.

A publisher holds a shared lock on each name from before it looks whether the file is there already until the database
names it. A collector removes nothing but under a lock of its own, which it gets where nobody else has one. The system
takes a lock back when its process dies, so that none has to be timed.
"""

from mfserve_registry.namelocks.base import PATIENCE_SECONDS, NameLock, NameLocks
from mfserve_registry.namelocks.files import FileNameLocks
from mfserve_registry.namelocks.sessions import SessionNameLocks

__all__ = ["PATIENCE_SECONDS", "NameLock", "NameLocks", "FileNameLocks", "SessionNameLocks"]
