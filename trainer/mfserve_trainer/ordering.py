"""Numbers the items of a snapshot in the order in which a search wants to meet them.

The number of an item is the trainer's choice: it breaks ties, and nothing else depends on it. In descending order of
the norm of their factors, the items that can score highly stand in front, and a search ends early
(``mfserve_scoring.bounds``).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.snapshot.content import Posterior, RankingHead, RatedItems, RatingHead, SnapshotContent

_PIECE = 1 << 20
"""Ratings renumbered at a time: bounds the memory beside the result."""


def by_descending_norm(content: SnapshotContent) -> SnapshotContent:
    """The same content, its items in descending order of ‖q_i‖ in the head that ranks by default.

    Items of one norm keep their order, so that the same training gives the same digest.
    """
    head = content.ranking or content.rating
    if head is None:
        return content
    factors = head.item_factors
    order = np.argsort(-np.einsum("ik,ik->i", factors, factors, dtype=np.float64), kind="stable")
    return replace(
        content,
        item_ids=[content.item_ids[item] for item in order.tolist()],
        item_titles=None
        if content.item_titles is None
        else [content.item_titles[item] for item in order.tolist()],
        item_means=None if content.item_means is None else content.item_means[order],
        item_counts=content.item_counts[order],
        rated=_renumbered(content.rated, order),
        rating=None if content.rating is None else _rating(content.rating, order),
        ranking=None if content.ranking is None else _ranking(content.ranking, order),
    )


def _rating(head: RatingHead, order: NDArray[np.intp]) -> RatingHead:
    return replace(
        head,
        item_biases=head.item_biases[order],
        item_factors=head.item_factors[order],
        posterior=None if head.posterior is None else _posterior(head.posterior, order),
    )


def _posterior(posterior: Posterior, order: NDArray[np.intp]) -> Posterior:
    return replace(posterior, item_samples=posterior.item_samples[order])


def _ranking(head: RankingHead, order: NDArray[np.intp]) -> RankingHead:
    return replace(head, item_factors=head.item_factors[order])


def _renumbered(rated: RatedItems, order: NDArray[np.intp]) -> RatedItems:
    """The items that each user rated by their new numbers, ascending again."""
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    indices = np.empty_like(rated.indices)
    users = len(rated.indptr) - 1
    start = 0
    while start < users:
        stop = max(start + 1, _last_within(rated.indptr, start, _PIECE))
        part = slice(rated.indptr[start], rated.indptr[stop])
        pair = np.repeat(np.arange(stop - start), np.diff(rated.indptr[start : stop + 1])) * len(order)
        pair += number[rated.indices[part]]
        pair.sort()
        indices[part] = pair % len(order)
        start = stop
    return RatedItems(rated.indptr, indices)


def _last_within(indptr: NDArray[np.signedinteger[Any]], start: int, ratings: int) -> int:
    """The user up to whom ``ratings`` ratings at most follow from user ``start`` on."""
    return int(np.searchsorted(indptr, indptr[start] + ratings, side="right")) - 1
