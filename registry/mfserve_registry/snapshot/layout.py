"""Which arrays a snapshot of given size holds, with the dtype and shape of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mfserve_registry.snapshot.ids import slot_count
from mfserve_registry.snapshot.manifest import RankingEntry, RatingEntry

U1, I4, I8, F4 = "|u1", "<i4", "<i8", "<f4"

ANY_LENGTH = -1
"""In a shape: a length that only the data decides."""


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """dtype as numpy's string, and the shape; ANY_LENGTH where the manifest alone says it."""

    dtype: str
    shape: tuple[int, ...]

    def allows(self, dtype: str, shape: tuple[int, ...]) -> bool:
        return (
            dtype == self.dtype
            and len(shape) == len(self.shape)
            and all(want in (ANY_LENGTH, have) for want, have in zip(self.shape, shape, strict=True))
        )


def layout(
    *, users: int, items: int, titles: bool, rating: RatingEntry | None, ranking: RankingEntry | None
) -> Mapping[str, ArraySpec]:
    """Name of every array of format 1, to its dtype and shape; None where a head is left out."""
    arrays = {
        "user_id_bytes": ArraySpec(U1, (ANY_LENGTH,)),
        "user_id_offsets": ArraySpec(I8, (users + 1,)),
        "user_id_slots": ArraySpec(I4, (slot_count(users),)),
        "item_id_bytes": ArraySpec(U1, (ANY_LENGTH,)),
        "item_id_offsets": ArraySpec(I8, (items + 1,)),
        "item_id_slots": ArraySpec(I4, (slot_count(items),)),
        "item_counts": ArraySpec(I4, (items,)),
        "rated_indptr": ArraySpec(I8, (users + 1,)),
        "rated_indices": ArraySpec(I4, (ANY_LENGTH,)),
    }
    if rating is not None:
        arrays["user_means"] = ArraySpec(F4, (users,))
        arrays["item_means"] = ArraySpec(F4, (items,))
        arrays["rating_user_biases"] = ArraySpec(F4, (users,))
        arrays["rating_item_biases"] = ArraySpec(F4, (items,))
        arrays["rating_user_factors"] = ArraySpec(F4, (users, rating.factors))
        arrays["rating_item_factors"] = ArraySpec(F4, (items, rating.factors))
    if titles:
        arrays["item_title_bytes"] = ArraySpec(U1, (ANY_LENGTH,))
        arrays["item_title_offsets"] = ArraySpec(I8, (items + 1,))
    if rating is not None and (posterior := rating.posterior) is not None:
        width = rating.factors + 1
        arrays["rating_user_samples"] = ArraySpec(F4, (users, posterior.samples, posterior.width))
        arrays["rating_item_samples"] = ArraySpec(F4, (items, posterior.samples, posterior.width))
        arrays["rating_user_noise"] = ArraySpec(F4, (users,))
        arrays["rating_prior_mean"] = ArraySpec(F4, (width,))
        arrays["rating_prior_precision"] = ArraySpec(F4, (width, width))
    if ranking is not None:
        arrays["ranking_user_factors"] = ArraySpec(F4, (users, ranking.factors))
        arrays["ranking_item_factors"] = ArraySpec(F4, (items, ranking.factors))
        if ranking.index is not None:
            arrays["ranking_index"] = ArraySpec(U1, (ANY_LENGTH,))
    return arrays
