"""Ratings as the engines see them: integer-coded rows, the ids behind the codes, and where they came from.

Implicit data have rows without ratings. They come as ratings that are all 1 on a scale from 0 to 1: to a ranking engine
and to the evaluation of rankings every row is then as good as a rating can be, without a case of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mfserve_registry.spec import RatingScale

Strings = NDArray[np.object_]
Indices = NDArray[np.int32]

IMPLICIT_SCALE = RatingScale(minimum=0, maximum=1)
"""The scale on which every row of implicit data is the maximum."""

_PIECE_ROWS = 1 << 20

_NOTHING: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Ratings:
    """Rows (user, item, rating) in file order; no (user, item) pair occurs twice.

    Attributes:
        user_index: int32 (n,), into ``user_ids``.
        item_index: int32 (n,), into ``item_ids``.
        rating: float32 (n,), finite, inside ``scale`` (to float32's precision); all 1 where ``implicit``.
        user_ids: str (users,), distinct, ascending by UTF-8 bytes; every one occurs in the rows.
        item_ids: str (items,), likewise.
        item_titles: str (items,), "" where unknown; None where the data has no titles at all.
        scale: the closed interval in which ratings lie; ``IMPLICIT_SCALE`` where ``implicit``.
        name: what people call the data, such as "movielens-100k" or a file's name.
        fingerprint: SHA-256 (hex) of ids and rows in file order; the same for the same rows whatever the
            file's format. Titles, scale and timestamps are not in it.
        implicit: the rows have no ratings; no engine may learn one from ``rating``.
        skipped: rows of the source that were left out, by reason; about the source, so ``take`` keeps it.
        period: first and last timestamp of the source's rows, seconds since the epoch; None where unknown.
    """

    user_index: Indices = field(repr=False)
    item_index: Indices = field(repr=False)
    rating: NDArray[np.float32] = field(repr=False)
    user_ids: Strings = field(repr=False)
    item_ids: Strings = field(repr=False)
    item_titles: Strings | None = field(repr=False)
    scale: RatingScale
    name: str
    fingerprint: str
    implicit: bool = False
    skipped: Mapping[str, int] = field(default_factory=lambda: _NOTHING)
    period: tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.rating)

    def take(self, rows: NDArray[np.intp]) -> Ratings:
        """The rows with these positions, in the order given.

        The vocabulary shrinks to the ids that occur, so that a training part knows nothing of users and items
        that only the held-out part has.
        """
        user_index, users = _shrink(self.user_index[rows], len(self.user_ids))
        item_index, items = _shrink(self.item_index[rows], len(self.item_ids))
        return _with_fingerprint(
            user_index=user_index,
            item_index=item_index,
            rating=self.rating[rows],
            user_ids=self.user_ids[users],
            item_ids=self.item_ids[items],
            item_titles=None if self.item_titles is None else self.item_titles[items],
            scale=self.scale,
            name=self.name,
            implicit=self.implicit,
            skipped=self.skipped,
            period=self.period,
        )

    def set_aside(self, folder: Path) -> Ratings:
        """The same rows in files, which are read where they are looked at: until then they take no memory.

        Args:
            folder: made by this; the rows are gone when its files are.
        """
        folder.mkdir()

        def stored(name: str, column: NDArray[Any]) -> NDArray[Any]:
            np.save(folder / f"{name}.npy", column)
            return np.asarray(np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False))

        return replace(
            self,
            user_index=stored("user_index", self.user_index),
            item_index=stored("item_index", self.item_index),
            rating=stored("rating", self.rating),
        )


def from_codes(
    *,
    users: tuple[ArrayLike, Sequence[str]],
    items: tuple[ArrayLike, Sequence[str]],
    rating: ArrayLike | None,
    titles: Mapping[str, str] | None = None,
    scale: RatingScale | None,
    name: str,
    skipped: Mapping[str, int] = _NOTHING,
    period: tuple[int, int] | None = None,
) -> Ratings:
    """Makes ratings of columns that are coded already.

    Args:
        users: codes (n,) and the distinct ids they point into, in any order; ids that no row has are dropped.
        items: likewise.
        rating: (n,), checked by the caller: finite and inside ``scale``. None: implicit data, and no ``scale``.
        titles: by item id; None where the data has none.
        scale: the closed interval in which ratings lie.
        name: what people call the data.
        skipped: rows left out, by reason.
        period: first and last timestamp, seconds since the epoch.
    """
    user_index, user_ids = _sort_vocabulary(*users)
    item_index, item_ids = _sort_vocabulary(*items)
    implicit = rating is None
    return _with_fingerprint(
        user_index=user_index,
        item_index=item_index,
        # Adding zero makes -0.0 the same number as 0.0, to the fingerprint too.
        rating=np.ones(len(user_index), np.float32)
        if rating is None
        else np.asarray(rating, dtype=np.float32) + np.float32(0.0),
        user_ids=user_ids,
        item_ids=item_ids,
        item_titles=None if titles is None else string_array([titles.get(item, "") for item in item_ids]),
        scale=scale or IMPLICIT_SCALE,
        name=name,
        implicit=implicit,
        skipped=MappingProxyType(dict(skipped)),
        period=period,
    )


def from_rows(
    users: Sequence[str],
    items: Sequence[str],
    rating: ArrayLike | None,
    *,
    scale: RatingScale | None,
    name: str = "rows",
    titles: Mapping[str, str] | None = None,
) -> Ratings:
    """Makes ratings of parallel sequences of ids; for small data. No ratings, and no scale: implicit data."""
    coded = []
    for ids in (users, items):
        vocabulary = {identifier: code for code, identifier in enumerate(dict.fromkeys(ids))}
        coded.append(([vocabulary[identifier] for identifier in ids], list(vocabulary)))
    return from_codes(users=coded[0], items=coded[1], rating=rating, titles=titles, scale=scale, name=name)


def string_array(strings: Sequence[str]) -> Strings:
    """An object array (n,) of these strings."""
    array = np.empty(len(strings), dtype=np.object_)
    array[:] = strings
    return array


def _sort_vocabulary(codes: ArrayLike, vocabulary: Sequence[str]) -> tuple[Indices, Strings]:
    index = np.asarray(codes, dtype=np.int32)
    new_code, used = _shrunk(index, len(vocabulary))
    ids = [vocabulary[code] for code in used]
    # Python compares strings by code point, which is the order of their UTF-8 bytes.
    order = sorted(range(len(ids)), key=ids.__getitem__)
    rank = np.empty(len(ids), dtype=np.int32)
    rank[order] = np.arange(len(ids), dtype=np.int32)
    new_code[used] = rank
    return _recoded(index, new_code), string_array([ids[place] for place in order])


def _shrink(index: Indices, size: int) -> tuple[Indices, NDArray[np.intp]]:
    """The same rows coded with the values that occur only, and those values, ascending."""
    new_code, used = _shrunk(index, size)
    return _recoded(index, new_code), used


def _shrunk(index: Indices, size: int) -> tuple[Indices, NDArray[np.intp]]:
    """Codes for the values that occur only, at their places among ``size``, and those values, ascending."""
    occurs = np.zeros(size, dtype=np.bool_)
    for rows in _pieces(len(index)):
        occurs[index[rows]] = True
    return np.cumsum(occurs, dtype=np.int32) - np.int32(1), np.flatnonzero(occurs)


def _recoded(index: Indices, new_code: Indices) -> Indices:
    """``new_code[index]``, without numpy's 64-bit copy of all of ``index``."""
    recoded = np.empty(len(index), dtype=np.int32)
    for rows in _pieces(len(index)):
        recoded[rows] = new_code[index[rows]]
    return recoded


def _pieces(length: int) -> Iterator[slice]:
    return (slice(start, start + _PIECE_ROWS) for start in range(0, length, _PIECE_ROWS))


def _with_fingerprint(
    *,
    user_index: Indices,
    item_index: Indices,
    rating: NDArray[np.float32],
    user_ids: Strings,
    item_ids: Strings,
    item_titles: Strings | None,
    scale: RatingScale,
    name: str,
    implicit: bool,
    skipped: Mapping[str, int],
    period: tuple[int, int] | None,
) -> Ratings:
    hasher = hashlib.sha256(b"mfserve ratings 1\n")
    for ids in (user_ids, item_ids):
        encoded = [identifier.encode() for identifier in ids]
        lengths = np.fromiter(map(len, encoded), dtype="<i8", count=len(encoded))
        hasher.update(len(encoded).to_bytes(8, "little"))
        hasher.update(lengths.data)
        hasher.update(b"".join(encoded))
    hasher.update(np.ascontiguousarray(user_index, dtype="<i4").data)
    hasher.update(np.ascontiguousarray(item_index, dtype="<i4").data)
    if not implicit:
        hasher.update(np.ascontiguousarray(rating, dtype="<f4").data)
    return Ratings(
        user_index=user_index,
        item_index=item_index,
        rating=rating,
        user_ids=user_ids,
        item_ids=item_ids,
        item_titles=item_titles,
        scale=scale,
        name=name,
        fingerprint=hasher.hexdigest(),
        implicit=implicit,
        skipped=skipped,
        period=period,
    )
