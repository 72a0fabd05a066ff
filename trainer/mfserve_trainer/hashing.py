"""Hashes of users, items and ratings that depend on their ids alone."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]


def hash_ids(ids: Iterable[str], key: bytes, side: bytes) -> Words:
    """64 bits of each id, by BLAKE2b.

    Args:
        key: up to 64 bytes.
        side: up to 16 bytes that keep a user and an item with the same id apart.
    """
    digests = b"".join(
        hashlib.blake2b(identifier.encode(), digest_size=8, key=key, person=side).digest()
        for identifier in ids
    )
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


def mix(words: Words) -> Words:
    """SplitMix64's finalizer (Steele, Lea and Flood 2014; Stafford's variant 13): every bit reaches every bit."""
    mixed = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
