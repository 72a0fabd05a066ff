"""What a snapshot's content must be before it is written."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.errors import InvalidArgument
from mfserve_registry.snapshot.content import RatedItems, SnapshotContent
from mfserve_registry.snapshot.layout import ArraySpec

MAX_ROWS = 2**30
"""Most users or items: indices, and twice as many hash slots, fit in int32."""


def check_heads(content: SnapshotContent) -> None:
    """InvalidArgument where there is no head, or the rating head without what goes with it, or that without a head."""
    if content.rating is None and content.ranking is None:
        raise _invalid("rating", "and its ranking are both missing; one head is needed")
    for field, part in (
        ("mean_rating", content.mean_rating),
        ("user_means", content.user_means),
        ("item_means", content.item_means),
    ):
        if (part is None) != (content.rating is None):
            raise _invalid(field, "must be there exactly where the rating head is")
    if content.rating is not None and content.scale is None:
        raise _invalid("scale", "is missing, which the rating head needs")


def check_scalars(content: SnapshotContent) -> None:
    """InvalidArgument, naming the field, where a number is not one that the scoring can use."""
    if content.mean_rating is not None:
        _finite("mean_rating", content.mean_rating)
    if (rating := content.rating) is not None:
        _finite("rating.intercept", rating.intercept)
        _not_negative("rating.regularization", rating.regularization)
    if (ranking := content.ranking) is not None:
        _not_negative("ranking.regularization", ranking.regularization)
        _not_negative("ranking.unobserved_weight", ranking.unobserved_weight)
        _not_negative("ranking.frequency_exponent", ranking.frequency_exponent)
        if (index := ranking.index) is not None:
            if index.probes < 1:
                raise _invalid("ranking.index.probes", "must be at least 1")
            if not 0 <= index.recall <= 1:
                raise _invalid("ranking.index.recall", f"must be 0 to 1, not {index.recall!r}")
        if len(ranking.targets) < 2:
            raise _invalid("ranking.targets", "needs at least two points, for the ends of the scale")
        for position, target in enumerate(ranking.targets):
            _finite(f"ranking.targets[{position}]", target)


def check_sizes(content: SnapshotContent) -> None:
    """InvalidArgument where there is no user, no item, or more than the format holds."""
    for field, ids in (("user_ids", content.user_ids), ("item_ids", content.item_ids)):
        if not 1 <= len(ids) <= MAX_ROWS:
            raise _invalid(field, f"has {len(ids)} ids; from 1 to {MAX_ROWS} are possible")
    if content.item_titles is not None and len(content.item_titles) != len(content.item_ids):
        raise _invalid(
            "item_titles", f"has {len(content.item_titles)} titles for {len(content.item_ids)} items"
        )


def factors_of(field: str, factors: NDArray[np.float32]) -> int:
    """Number of columns of a factor matrix; InvalidArgument where it is not a matrix with at least one."""
    if factors.ndim != 2 or factors.shape[1] < 1:
        raise _invalid(field, "must be a matrix with at least one column")
    return int(factors.shape[1])


def samples_of(field: str, samples: NDArray[np.float32]) -> tuple[int, int]:
    """Number and width of a posterior's samples; InvalidArgument where there are too few of either."""
    if samples.ndim != 3 or samples.shape[1] < 2 or samples.shape[2] < 2:
        raise _invalid(field, "must have three dimensions, the second and third at least 2 long")
    return int(samples.shape[1]), int(samples.shape[2])


def check_array(field: str, array: NDArray[Any], spec: ArraySpec) -> None:
    """InvalidArgument where dtype or shape differ from ``spec``, or a value is NaN or infinite."""
    if not spec.allows(array.dtype.str, array.shape):
        raise _invalid(
            field, f"must be a {spec.dtype} array of shape {spec.shape}, not {array.dtype.str} {array.shape}"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise _invalid(field, "holds NaN or an infinite value")


def check_rated(rated: RatedItems, items: int) -> None:
    """InvalidArgument where the rows do not partition the indices, or a row is not ascending and in range."""
    indptr, indices = rated.indptr, rated.indices
    if indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
        raise _invalid("rated.indptr", f"must ascend from 0 to the number of indices, {len(indices)}")
    if len(indices) == 0:
        return
    if indices.min() < 0 or indices.max() >= items:
        raise _invalid("rated.indices", f"must lie from 0 to {items - 1}")
    ascends = np.diff(indices) > 0
    starts = indptr[1:-1]
    ascends[starts[(starts > 0) & (starts < len(indices))] - 1] = True  # between two rows any step is right
    if not ascends.all():
        raise _invalid("rated.indices", "must ascend strictly within each user")


def check_noise(noise: NDArray[np.float32]) -> None:
    if (noise <= 0).any():
        raise _invalid("rating_user_noise", "must hold variances above 0")


def check_counts(counts: NDArray[np.int32]) -> None:
    if (counts < 0).any():
        raise _invalid("item_counts", "must not be negative")


def _finite(field: str, value: float) -> None:
    if not np.isfinite(value):
        raise _invalid(field, f"must be a finite number, not {value!r}")


def _not_negative(field: str, value: float) -> None:
    _finite(field, value)
    if value < 0:
        raise _invalid(field, f"must not be negative, but is {value!r}")


def _invalid(field: str, what: str) -> InvalidArgument:
    return InvalidArgument(f"The snapshot's {field} {what}.", field=field)
