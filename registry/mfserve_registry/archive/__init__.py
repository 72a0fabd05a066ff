"""A version as one file, to carry it from one registry to another; docs/snapshot-format.md describes the file."""

from mfserve_registry.archive.archives import Archives
from mfserve_registry.archive.copying import Progress
from mfserve_registry.archive.document import FORMAT

__all__ = ["FORMAT", "Archives", "Progress"]
