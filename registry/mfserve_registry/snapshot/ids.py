"""Tables of strings that live in memory-mapped arrays, so that a worker holds no dict of ten million ids.

Where the ids are few it does, from the first batch that is looked up: many at once are found in a tenth of the time.

A StringTable is the UTF-8 bytes of all strings end to end, and the offsets between them. An IdTable adds an
open-addressed hash table with linear probing: id number i sits in the first free slot at or after
``crc32(UTF-8 bytes) mod len(slots)``, in index order within a round of insertion (see ``_fill_slots``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count, repeat
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from mfserve_registry.errors import InvalidArgument

MAX_ID_BYTES = 256
"""Longest id of a user or item, in bytes of UTF-8."""

EMPTY = -1
"""A slot that holds no id."""

_FEW = 1 << 16
"""Ids of which a worker may hold a dict: 10 MB at most."""
_MANY = 64
"""Ids looked up at once that are worth a dict."""


class StringTable:
    """Strings by index.

    Args:
        bytes_: uint8 (total,), the UTF-8 bytes of all strings, end to end.
        offsets: int64 (n + 1,), ascending; string i is ``bytes_[offsets[i]:offsets[i + 1]]``.
    """

    __slots__ = ("_offsets_view", "_text", "bytes_", "offsets")

    def __init__(self, bytes_: NDArray[np.uint8], offsets: NDArray[np.int64]) -> None:
        self.bytes_ = bytes_
        self.offsets = offsets
        # a memoryview's items are Python ints straight away: several times cheaper than numpy scalars.
        self._text = bytes_.data
        self._offsets_view = offsets.data

    @classmethod
    def build(cls, strings: Sequence[str], *, field: str) -> StringTable:
        """Lays out ``strings``; InvalidArgument naming ``field`` where one is not a str or has a lone surrogate."""
        return cls(*_pack(_encode_all(strings, field)))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> str:
        """String number ``index``, from 0 to len - 1; IndexError outside."""
        if index < 0:
            raise IndexError(index)
        return str(self._text[self._offsets_view[index] : self._offsets_view[index + 1]], "utf-8")

    def __iter__(self) -> Iterator[str]:
        for index in range(len(self)):
            yield self[index]

    def take(self, indices: NDArray[np.integer[Any]]) -> list[str]:
        """The strings at ``indices`` (any integer dtype, 1-d), in their order; IndexError outside 0..len - 1."""
        if len(indices) and int(indices.min()) < 0:
            raise IndexError(int(indices.min()))
        text = self._text
        starts = self.offsets[indices].tolist()
        ends = self.offsets[1:][indices].tolist()
        return [str(text[start:end], "utf-8") for start, end in zip(starts, ends, strict=True)]


class IdTable(StringTable):
    """Distinct ids by index, and indices by id.

    Args:
        bytes_, offsets: as in StringTable; no id is empty.
        slots: int32, a power of two of at least 2n entries: index of an id, or -1.
    """

    __slots__ = ("_by_id", "_mask", "_slots_view", "slots")

    def __init__(
        self, bytes_: NDArray[np.uint8], offsets: NDArray[np.int64], slots: NDArray[np.int32]
    ) -> None:
        super().__init__(bytes_, offsets)
        self.slots = slots
        self._slots_view = slots.data
        self._mask = len(slots) - 1
        self._by_id: dict[str, int] = {}

    @classmethod
    def build(cls, strings: Sequence[str], *, field: str) -> IdTable:
        """Lays out ``strings`` and hashes them.

        Raises:
            InvalidArgument: naming ``field[i]``, where an id is not a str, is empty, is longer than 256 bytes in
                UTF-8, has a lone surrogate, or occurs twice.
        """
        encoded = _encode_all(strings, field)
        _refuse_bad_lengths(encoded, field)
        _refuse_duplicates(encoded, field)
        return cls(*_pack(encoded), _fill_slots(encoded))

    def index(self, key: str) -> int:
        """Index of the id ``key``, or -1 where the table does not hold it."""
        try:
            encoded = key.encode()
        except UnicodeEncodeError:  # a lone surrogate: no such id can be in the table
            return EMPTY
        slots, offsets, text, mask = self._slots_view, self._offsets_view, self._text, self._mask
        slot = crc32(encoded) & mask
        while (candidate := slots[slot]) != EMPTY:
            if text[offsets[candidate] : offsets[candidate + 1]] == encoded:
                return candidate
            slot = (slot + 1) & mask
        return EMPTY

    def indices(self, ids: Sequence[str]) -> NDArray[np.int32]:
        """Index of each of ``ids``, -1 where the table does not hold it; int32 (len(ids),)."""
        if len(ids) < _MANY or len(self) > _FEW:
            found = map(self.index, ids)
        else:
            self._by_id = self._by_id or dict(zip(self, count(), strict=False))
            found = map(self._by_id.get, ids, repeat(EMPTY))
        return np.fromiter(found, dtype=np.int32, count=len(ids))


def slot_count(ids: int) -> int:
    """Number of slots for ``ids`` ids: the smallest power of two that is at least twice as many."""
    return 1 << max(1, (2 * ids - 1).bit_length())


def _encode_all(strings: Sequence[str], field: str) -> list[bytes]:
    try:
        return list(map(str.encode, strings))
    except (TypeError, UnicodeEncodeError):  # now to the first that is wrong, with its place
        return [_encode(text, f"{field}[{i}]") for i, text in enumerate(strings)]


def _encode(text: str, field: str) -> bytes:
    if not isinstance(text, str):
        raise InvalidArgument(f"{field} must be a string, not {type(text).__name__}.", field=field)
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise InvalidArgument(
            f"{field} is not valid Unicode: it has a lone surrogate.", field=field
        ) from None


def _refuse_bad_lengths(encoded: Sequence[bytes], field: str) -> None:
    for index, length in enumerate(map(len, encoded)):
        if length == 0:
            raise InvalidArgument(f"{field}[{index}] is an empty id.", field=f"{field}[{index}]")
        if length > MAX_ID_BYTES:
            raise InvalidArgument(
                f"{field}[{index}] is an id of {length} bytes; at most {MAX_ID_BYTES} are allowed.",
                field=f"{field}[{index}]",
            )


def _refuse_duplicates(encoded: Sequence[bytes], field: str) -> None:
    if len(set(encoded)) == len(encoded):
        return
    seen: dict[bytes, int] = {}
    for index, text in enumerate(encoded):
        first = seen.setdefault(text, index)
        if first != index:
            raise InvalidArgument(
                f"{field}[{index}] is the same id as {field}[{first}].", field=f"{field}[{index}]"
            )


def _pack(encoded: Sequence[bytes]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets


def _fill_slots(encoded: Sequence[bytes]) -> NDArray[np.int32]:
    """Inserts all ids at once, round by round.

    In a round every id that has no place yet asks for its slot; of those that ask for the same free slot the
    lowest index gets it, and the rest move on by one. A slot is never given back, so all slots that an id passed
    are taken: what linear probing needs to find it.
    """
    slots = np.full(slot_count(len(encoded)), EMPTY, dtype=np.int32)
    mask = len(slots) - 1
    homes = np.fromiter(map(crc32, encoded), dtype=np.int64, count=len(encoded)) & mask
    waiting = np.arange(len(encoded), dtype=np.int32)
    while len(waiting):
        wanted, first = np.unique(homes[waiting], return_index=True)
        free = slots[wanted] == EMPTY
        slots[wanted[free]] = waiting[first[free]]
        waiting = np.delete(waiting, first[free])
        homes[waiting] = (homes[waiting] + 1) & mask
    return slots
