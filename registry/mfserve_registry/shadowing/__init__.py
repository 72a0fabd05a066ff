"""What asking a shadow beside the versions that answer has found.

Each server process keeps one row for each pair of versions, with its sums since its start, and replaces it. So a write
that may have failed is simply done again: nothing is lost by it and nothing counted twice. Of the processes that are
gone, a collection makes one row.
"""

from mfserve_registry.shadowing.folding import fold
from mfserve_registry.shadowing.rows import Pair
from mfserve_registry.shadowing.shadowing import Shadowing
from mfserve_registry.shadowing.sums import AnswerSums, ShadowSums, Sums

__all__ = ["AnswerSums", "Pair", "ShadowSums", "Shadowing", "Sums", "fold"]
