"""The best items by an approximate index, the scores exact.

The index only proposes: what it finds beyond the items that are left out is scored by ``exact.dots`` and ordered as
every answer is. So an item that it misses is the one way in which an answer can differ from the exact search's. Each
user is searched alone, and the number of items asked for depends on this user alone: the answer is the same in any
batch.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, Protocol

import numpy as np

from mfserve_registry.errors import DamagedSnapshot
from mfserve_registry.snapshot.content import ItemIndex
from mfserve_scoring.exact import Doubles, Floats, Indices, dots
from mfserve_scoring.excluded import NOTHING, Excluded
from mfserve_scoring.topk import ExactTopK, TopK

OVERSAMPLING = 3
"""Items proposed for each one wanted: the index has 8 bits a number, and errs in the order of near ones."""
MOST_PROPOSED = 0.25
"""Share of all items beyond which the exact search is quicker than sorting proposals."""

_LOGGER = logging.getLogger(__name__)


class Index(Protocol):
    """Proposes items."""

    def propose(self, user: Floats, count: int) -> Indices:
        """At most ``count`` items of high inner product with ``user``, float32 (1, k); in any order."""


class ApproximateTopK:
    """Finds items of the highest inner product, as ``ExactTopK`` does, but may miss some.

    Args:
        index: of the items.
        items: float32 (n, k).
        exact: over the same items: answers where ``find`` does not.
        recall: of the index, as it was measured.
    """

    def __init__(self, index: Index, items: Floats, exact: ExactTopK, recall: float) -> None:
        self._index = index
        self._items = items
        self._exact = exact
        self.recall = recall

    def search(self, users: Floats, limit: int, *, excluded: Excluded | None = None) -> TopK:
        """Items for each user, found or searched exactly; the arguments are those of ``ExactTopK.search``."""
        excluded = excluded or Excluded()
        users = np.ascontiguousarray(users, dtype=np.float32)
        if len(users) == 0:
            return self._exact.search(users, limit)
        found = [self._search_one(user, limit, excluded.of(row)) for row, user in enumerate(users)]
        return TopK(
            np.concatenate([items for items, _ in found]),
            np.concatenate([scores for _, scores in found]),
            np.array([len(items) for items, _ in found], dtype=np.int32),
        )

    def find(self, user: Floats, limit: int, excluded: Indices = NOTHING) -> tuple[Indices, Doubles] | None:
        """What the index finds for one user, as many as are wanted.

        Args:
            user: float32 (k,).
            limit: at least 1. It decides what the index is asked for: the first items of a larger limit may be others.
            excluded: int32 (m,), items that never appear, in any order, repeats allowed.

        Returns:
            Items and scores, int32 and float64 (limit,). None where the index proposes too few, or where so many are
            wanted or left out that the exact search is quicker.
        """
        row = user[np.newaxis]
        wanted = OVERSAMPLING * limit + len(excluded)
        if wanted > MOST_PROPOSED * len(self._items):
            return None
        items = np.sort(self._index.propose(row, wanted))
        if len(excluded):
            items = items[np.isin(items, excluded, invert=True)]
        if len(items) < limit:
            return None
        scores = dots(row, self._items[items])
        order = np.argsort(-scores, kind="stable")[:limit]
        return items[order], scores[order]

    def _search_one(self, user: Floats, limit: int, excluded: Indices) -> tuple[Indices, Doubles]:
        found = self.find(user, limit, excluded)
        return self._exact.search_one(user, limit, excluded=excluded) if found is None else found


class FaissIndex:
    """FAISS's inverted file, in place: neither vectors nor ids are copied out of the snapshot's mapped file.

    Args:
        index: of a snapshot.
        items, factors: numbers of the items that it must be of, and of their factors.

    Raises:
        ImportError: FAISS is not installed.
        DamagedSnapshot: these are not the bytes of such an index.
    """

    def __init__(self, index: ItemIndex, items: int, factors: int) -> None:
        import faiss

        self._faiss = faiss
        self._data = index.data  # what FAISS points into
        try:
            reader = faiss.ZeroCopyIOReader(faiss.swig_ptr(index.data), index.data.size)
            self._index: Any = faiss.read_index(reader, faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise DamagedSnapshot(
                "ranking_index.npy does not hold an index that this FAISS reads."
            ) from error
        if (
            not isinstance(self._index, faiss.IndexIVF)
            or self._index.metric_type != faiss.METRIC_INNER_PRODUCT
        ):
            raise DamagedSnapshot("ranking_index.npy holds another kind of index.")
        if (self._index.ntotal, self._index.d) != (items, factors):
            raise DamagedSnapshot(
                f"ranking_index.npy is of {self._index.ntotal} items with {self._index.d} factors, "
                f"not of {items} with {factors}."
            )
        self._probes = faiss.SearchParametersIVF(nprobe=min(index.probes, self._index.nlist))

    def propose(self, user: Floats, count: int) -> Indices:
        # One thread, whatever the process has: in two, which of two equal items is kept depends on who is quicker. The
        # setting is the calling thread's own.
        self._faiss.omp_set_num_threads(1)
        _, found = self._index.search(user, count, params=self._probes)
        items: Indices = found[0][found[0] >= 0].astype(np.int32)
        return items


def open_index(index: ItemIndex, items: Floats, exact: ExactTopK) -> ApproximateTopK | None:
    """The search by a snapshot's index; None where FAISS is not installed, which is logged once.

    Raises:
        DamagedSnapshot: the index is not of these items.
    """
    try:
        opened = FaissIndex(index, *items.shape)
    except ImportError:
        _tell_that_it_is_missing()
        return None
    return ApproximateTopK(opened, items, exact, index.recall)


@cache
def _tell_that_it_is_missing() -> None:
    _LOGGER.warning(
        "A version has an approximate index, but FAISS is not installed (mfserve[index]): it is searched exactly."
    )
