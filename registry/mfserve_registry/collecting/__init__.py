"""Which versions are kept, and the removal of what nobody names any more; docs/adr/0020-garbage-collection.md."""

from mfserve_registry.collecting.collector import Collector
from mfserve_registry.collecting.types import Collected, Retention, Verdict

__all__ = ["Collected", "Collector", "Retention", "Verdict"]
