"""Whether the numbers in a snapshot are possible ones.

The checksums prove that the bytes are the writer's. This proves that a writer that is not ours (an import, another
language), or has a defect, left no index that would give a wrong answer or a lookup that never ends, and no NaN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.errors import UnsoundSnapshot
from mfserve_registry.snapshot.ids import EMPTY


def check_indices(arrays: Mapping[str, NDArray[Any]], *, users: int, items: int) -> None:
    """UnsoundSnapshot naming the file whose indices are out of order or range."""
    _check_offsets(arrays, "user_id")
    _check_offsets(arrays, "item_id")
    if "item_title_offsets" in arrays:
        _check_offsets(arrays, "item_title")
    _check_slots("user_id_slots", arrays["user_id_slots"], users)
    _check_slots("item_id_slots", arrays["item_id_slots"], items)
    _check_ascending("rated_indptr", arrays["rated_indptr"], len(arrays["rated_indices"]))
    _check_range("rated_indices", arrays["rated_indices"], 0, items - 1)


def check_finite(arrays: Mapping[str, NDArray[Any]]) -> None:
    """UnsoundSnapshot naming the file that holds a NaN, an infinite number or a variance of 0 or less."""
    for name, array in arrays.items():
        # One pass and no array of truth values: whatever is not finite stays so in a sum, and in float64 no sum of
        # finite float32 numbers overflows. Two infinities of opposite sign give NaN, without need of a warning.
        with np.errstate(invalid="ignore"):
            sound = array.dtype.kind != "f" or np.isfinite(array.sum(dtype=np.float64))
        if not sound:
            raise UnsoundSnapshot(f"{name}.npy holds NaN or an infinite number.")
    if (noise := arrays.get("rating_user_noise")) is not None and (noise <= 0).any():
        raise UnsoundSnapshot("rating_user_noise.npy holds a variance that is not above 0.")


def _check_offsets(arrays: Mapping[str, NDArray[Any]], prefix: str) -> None:
    _check_ascending(f"{prefix}_offsets", arrays[f"{prefix}_offsets"], len(arrays[f"{prefix}_bytes"]))


def _check_ascending(name: str, offsets: NDArray[np.int64], end: int) -> None:
    if offsets[0] != 0 or offsets[-1] != end or (offsets[1:] < offsets[:-1]).any():
        raise UnsoundSnapshot(f"{name}.npy does not ascend from 0 to {end}.")


def _check_range(name: str, indices: NDArray[np.int32], low: int, high: int) -> None:
    if len(indices) and (indices.min() < low or indices.max() > high):
        raise UnsoundSnapshot(f"{name}.npy holds an index outside {low}..{high}.")


def _check_slots(name: str, slots: NDArray[np.int32], ids: int) -> None:
    _check_range(name, slots, EMPTY, ids - 1)
    # Each id once, so at least half of the slots are empty and every probe ends.
    if not np.array_equal(np.sort(slots[slots != EMPTY]), np.arange(ids)):
        raise UnsoundSnapshot(f"{name}.npy does not hold each of its {ids} ids once.")
