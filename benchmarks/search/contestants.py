"""Who searches, and how each is made from the item factors. A library is imported where it is used alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Search = Callable[[Floats], NDArray[np.integer]]
"""From users (rows, k) to the indices (rows, TOP) of their best items, best first; ``bare product`` finds none."""

TOP = 10


def bare_product(items: Floats, threads: int) -> Search:
    """The limit: what every exact search that looks at all items has to do at least."""
    columns = np.ascontiguousarray(items).T
    nothing = np.empty((0, TOP), dtype=np.int32)

    def search(users: Floats) -> NDArray[np.integer]:
        users @ columns
        return nothing

    return search


def argpartition(items: Floats, threads: int) -> Search:
    """What one writes first."""
    columns = np.ascontiguousarray(items).T

    def search(users: Floats) -> NDArray[np.integer]:
        scores = users @ columns
        found = np.argpartition(scores, -TOP, axis=1)[:, -TOP:]
        order = np.argsort(-np.take_along_axis(scores, found, axis=1), axis=1)
        return np.take_along_axis(found, order, axis=1)

    return search


def mfserve(items: Floats, threads: int) -> Search:
    """What is served."""
    return _exact(items, prune=True)


def unpruned(items: Floats, threads: int) -> Search:
    """The same search, through to the last item: what a catalogue gets that no bound shortens."""
    return _exact(items, prune=False)


def _exact(items: Floats, *, prune: bool) -> Search:
    from mfserve_scoring.topk import ExactTopK

    exact = ExactTopK(items, prune=prune)
    return lambda users: exact.search(users, TOP).indices.reshape(len(users), TOP)


def faiss_flat(items: Floats, threads: int) -> Search:
    """FAISS's exact index; it keeps a copy of the items."""
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(items.shape[1])
    index.add(items)

    def search(users: Floats) -> NDArray[np.integer]:
        found: NDArray[np.integer] = index.search(users, TOP)[1]
        return found

    return search


def implicit(items: Floats, threads: int) -> Search:
    """What implicit's models recommend by."""
    from implicit.cpu.topk import topk

    items = np.array(items)  # it takes no read-only array

    def search(users: Floats) -> NDArray[np.integer]:
        found: NDArray[np.integer] = topk(items, users, TOP, num_threads=threads)[0]
        return found

    return search


@dataclass(frozen=True, slots=True)
class Contestant:
    """One column of the tables.

    Attributes:
        name: as the tables have it.
        make: from items and threads to the search.
        peer: whose environment it needs, see ``make peers``; None: mfserve's.
    """

    name: str
    make: Callable[[Floats, int], Search]
    peer: str | None = None


BARE = "bare product"
OURS = "mfserve"
UNPRUNED = "mfserve, unpruned"
FAISS = "FAISS IndexFlatIP"
IMPLICIT = "implicit"

EXACT = (
    Contestant(BARE, bare_product),
    Contestant("numpy argpartition", argpartition),
    Contestant(FAISS, faiss_flat, "search"),
    Contestant(IMPLICIT, implicit, "implicit"),
    Contestant(UNPRUNED, unpruned),
    Contestant(OURS, mfserve),
)
