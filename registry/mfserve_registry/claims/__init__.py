"""Claims on what the store keeps: who puts something and names it, and who removes it, keep out of each other's way.

A publisher holds a shared claim on each name from before it looks whether the file is there already until the database
names it. A collector removes nothing but under a claim of its own, which it gets where nobody else has one. The system
takes a claim back when its process dies, so that none has to be timed.
"""

from mfserve_registry.claims.base import PATIENCE_SECONDS, Claim, Claims
from mfserve_registry.claims.files import FileClaims
from mfserve_registry.claims.sessions import SessionClaims

__all__ = ["PATIENCE_SECONDS", "Claim", "Claims", "FileClaims", "SessionClaims"]
