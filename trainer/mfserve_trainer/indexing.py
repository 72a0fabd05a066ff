"""Builds the approximate index of a ranking head's items, and measures what it finds.

FAISS's inverted file: spherical k-means divides the items into clusters, and every item is kept in its cluster's list,
in 8 bits a number. The same items give the same bytes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.errors import FailedPrecondition
from mfserve_registry.snapshot.content import Floats, ItemIndex, RankingHead, RatedItems
from mfserve_registry.spec import IndexConfig
from mfserve_scoring.approximate import ApproximateTopK, FaissIndex
from mfserve_scoring.excluded import NOTHING, Excluded
from mfserve_scoring.topk import ExactTopK, TopK

SAMPLE = 1000
"""Users by whom the clusters to look at are chosen, and as many others by whom the recall is measured."""
TOP = 10


def check_installed() -> None:
    """FailedPrecondition where FAISS is missing: said before a training, not after it."""
    try:
        import faiss  # noqa: F401 - whether it is there
    except ImportError:
        raise FailedPrecondition(
            "An index needs FAISS, which this trainer lacks: install mfserve[index].",
            reason="INDEX_UNAVAILABLE",
        ) from None


def index_items(head: RankingHead, rated: RatedItems, config: IndexConfig, seed: int) -> ItemIndex:
    """The index, with as many clusters to look at as the recall that is asked for needs.

    Args:
        head: with the factors of all items and users.
        rated: what is left out of a user's answer.
        config: which recall, how many clusters.
        seed: of the sample of users.

    Returns:
        An index whose ``recall`` was measured on users by whom nothing was chosen, where there are enough of them.
    """
    items = head.item_factors
    clusters = min(config.clusters or clusters_for(len(items)), len(items))
    data = build(items, clusters)
    chosen_by, measured_by = _samples(head.user_factors, seed)
    index = ItemIndex(data, probes=1, recall=0.0)
    exact = ExactTopK(items)
    truth = _search(exact, head, rated, chosen_by)
    while recall_of(index, head, rated, chosen_by, exact, truth) < config.recall and index.probes < clusters:
        index = replace(index, probes=min(clusters, index.probes + max(1, index.probes // 4)))
    measured = recall_of(index, head, rated, measured_by, exact, _search(exact, head, rated, measured_by))
    return replace(index, recall=measured)


def clusters_for(items: int) -> int:
    """Twice the square root of the number of items, as a power of two."""
    return int(2 ** np.floor(np.log2(max(1.0, 2 * np.sqrt(items)))))


def build(items: Floats, clusters: int) -> NDArray[np.uint8]:
    """FAISS's own bytes of the index of all items.

    Args:
        items: float32 (n, k).
        clusters: at most n.
    """
    import faiss

    items = np.ascontiguousarray(items)
    factors = items.shape[1]
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(factors),
        factors,
        clusters,
        faiss.ScalarQuantizer.QT_8bit,
        faiss.METRIC_INNER_PRODUCT,
        False,  # not the differences from the centre, which are as long as the items themselves
    )
    # Centres of length 1: a few very long items would else attract every search.
    index.cp.spherical = True
    index.cp.seed = 1
    index.cp.min_points_per_centroid = 1  # else it warns of what clusters=... asks for
    index.train(items)
    index.add(items)
    data: NDArray[np.uint8] = faiss.serialize_index(index)
    return data


def recall_of(
    index: ItemIndex,
    head: RankingHead,
    rated: RatedItems,
    users: NDArray[np.intp],
    exact: ExactTopK,
    truth: TopK,
) -> float:
    """Share of the exact best ten that the index finds, over all users together."""
    items = head.item_factors
    search = ApproximateTopK(FaissIndex(index, *items.shape), items, exact, index.recall)
    found = _search(search, head, rated, users)
    width = np.int64(len(items))
    pairs = [np.repeat(np.arange(len(users)), top.counts) * width + top.indices for top in (found, truth)]
    return float(np.isin(pairs[1], pairs[0]).mean()) if len(pairs[1]) else 1.0


def _search(
    search: ExactTopK | ApproximateTopK, head: RankingHead, rated: RatedItems, users: NDArray[np.intp]
) -> TopK:
    excluded = Excluded.seen(rated, users, NOTHING)
    return search.search(head.user_factors[users], TOP, excluded=excluded)


def _samples(users: Floats, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Two disjoint samples of the users whom the head knows; the same one twice where these are too few."""
    known = np.flatnonzero(users.any(axis=1))
    drawn = np.random.default_rng([seed, 0x1D]).permutation(known)[: 2 * SAMPLE]
    half = len(drawn) // 2
    return (drawn, drawn) if half < SAMPLE // 2 else (drawn[:half], drawn[half:])
